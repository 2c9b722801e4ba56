"""Open only where the licence is known by name; non-commercial wherever its text says so."""

from __future__ import annotations

import pytest

from geoseg.models.licences import licence_kind, licence_warning

OPEN = [
    "Apache-2.0", "Apache License 2.0", "MIT", "The MIT License", "BSD-3-Clause", "ISC", "CC0-1.0", "CC-BY-4.0", "CC BY 4.0",
    "cc-by-sa-4.0", "ODbL-1.0", "GPL-3.0-or-later", "GPL-2.0-only WITH Classpath-exception-2.0", "MPL-2.0", "(MIT)",
    "MIT AND Apache-2.0", "MIT OR CC-BY-NC-4.0", "Creative Commons Attribution 4.0",
]  # fmt: skip
NON_COMMERCIAL = [
    "CC-BY-NC-4.0", "cc-by-nc-sa-4.0", "CC BY-NC 4.0", "CC-BY-NC-ND-3.0", "PolyForm-Noncommercial-1.0.0", "non commercial",
    "Creative Commons Attribution-NonCommercial 4.0", "Academic use only", "for research purposes only",
    "MIT AND CC-BY-NC-4.0", "Apache-2.0, not for commercial use", "CC-BY-NC-4.0 OR CC-BY-NC-SA-4.0", "no commercial use",
]  # fmt: skip
UNKNOWN = [
    "", "other", "proprietary", "cc", "CC-BY-ND-4.0", "BUSL-1.1", "openrail", "MIT AND something", "mitigation", "not stated",
    "free for commercial and non-commercial use", "see the model's page",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("open", text) for text in OPEN),
        *(("non-commercial", text) for text in NON_COMMERCIAL),
        *(("unknown", text) for text in UNKNOWN),
    ],
)
def test_the_kind_of_a_licence(kind, text):
    assert licence_kind(text) == kind
    warning = licence_warning("m", text)
    assert bool(warning) == (kind != "open")
    assert ("non-commercial use only" in warning) == (kind == "non-commercial")
    assert text in warning or kind == "open"
