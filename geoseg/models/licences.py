"""What the licence of a model's weights means for its maps, as far as the text of the licence tells."""

from __future__ import annotations

import re
from typing import Literal

LicenceKind = Literal["open", "non-commercial", "unknown"]

#: "commercial and non-commercial use" restricts nothing.
_BOTH = re.compile(
    r"(?<!non)(?<!non[ -])commercial\W+(and|or|and/or|as well as)\W+non[ -]?commercial"
    r"|non[ -]?commercial\W+(and|or|and/or|as well as)\W+commercial"
)
_NON_COMMERCIAL = re.compile(
    r"\bnc\b|non[ -]?commercial|\bno commercial\b|not for commercial|without commercial|commercial use (is )?(not|prohibited|forbidden)"
    r"|\bacademic|research (use |purposes? )?only|(only|solely) (for|in) (scientific |non-profit )?research|educational"
)
#: Beginnings of what is left of an SPDX identifier, or of a licence's name, in small letters with single hyphens.
_OPEN = re.compile(
    r"(apache|mit|bsd|0bsd|isc|zlib|unlicense|cc0|cc-by(-sa)?-[0-9]|cc-by(-sa)?$|odbl|odc-by|pddl|cdla-permissive|[al]?gpl"
    r"|gnu|mpl|mozilla|epl|eupl|artistic|bsl-1|boost|ogl|etalab|psf|python|public-domain|public-data-licen[cs]e-[0-9]|creative-commons-attribution-[0-9])"
    r"(?![a-z])"
)


def licence_kind(text: str) -> LicenceKind:
    """Whether a licence is known to be open, known to exclude commercial use, or neither.

    Args:
        text: SPDX expression, or words.

    Returns:
        ``open`` only where every part that binds is a licence that is known by name: what is not known is ``unknown``.
    """
    kinds = [_joined(part) for part in re.split(r"\s+or\s+", _plain(text))]
    if "open" in kinds:  # the user may choose
        return "open"
    return "non-commercial" if kinds and set(kinds) == {"non-commercial"} else "unknown"


def _plain(text: str) -> str:
    """In small letters; what allows both kinds of use says nothing of either."""
    return _BOTH.sub(" any ", re.sub(r"[()]", " ", text.lower()))


def _joined(text: str) -> LicenceKind:
    """Of licences that bind together."""
    kinds = [_single(part.strip()) for part in re.split(r"\s+and\s+|\s*[;,]\s*", text) if part.strip()]
    if "non-commercial" in kinds:
        return "non-commercial"
    return "open" if kinds and set(kinds) == {"open"} else "unknown"


def _single(text: str) -> LicenceKind:
    if _NON_COMMERCIAL.search(re.sub(r"[-_.]", " ", text)) or _NON_COMMERCIAL.search(text):
        return "non-commercial"
    name = re.sub(r"[\s_-]+", "-", text.removeprefix("the ")).split("-with-")[0]
    return "open" if _OPEN.match(name) else "unknown"


def licence_warning(name: str, licence: str) -> str:
    """What a user of the weights should know of their licence; nothing where it is an open one.

    Args:
        name: The model's.
        licence: SPDX expression, or words.
    """
    kind = licence_kind(licence)
    if kind == "non-commercial":
        return f"the weights of {name} are for non-commercial use only ({licence}), and so is what is made with them"
    if kind == "unknown":
        return f"the licence of the weights of {name} is none that geoseg knows ({licence}): read it before you use the map"
    return ""
