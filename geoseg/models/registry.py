"""From a reference to a model folder: built-in name, path, name in the models folders, torchgeo's weights, an address.

Only a reference that names a server (``hf:``, ``https:``) is asked of one: an unknown name is refused at once.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from geoseg.errors import ModelSpecError, UnknownModelError
from geoseg.models.folder import ITEM, ModelFolder
from geoseg.models.text_image import EMBEDDING, embedding_folder, is_text_image, text_image_folder
from geoseg.plainfiles import is_file

_LOG = logging.getLogger(__name__)

BUILTIN = Path(__file__).parent / "builtin"
#: Model folders may lie this deep below a folder of GEOSEG_MODELS.
_SEARCH_DEPTH = 3
_TORCHGEO, _ADDRESSES = "torchgeo:", ("https://", "http://")
HUB = "hf:"
#: Below the cache: where ``geoseg models add`` puts models.
ADDED = "models"


def resolve(
    reference: str,
    *,
    models_dirs: Sequence[Path] = (),
    cache: Path | None = None,
    offline: bool = False,
    measured: bool = True,
) -> ModelFolder:
    """The model folder that a reference means.

    Args:
        reference: Name of a built-in model, of a folder below ``models_dirs`` or of one that was added; path of a
            model folder; ``torchgeo:Unet_Weights.NAME``; ``hf:ORG/NAME[@REVISION]``; or
            ``https://…/item.json#sha256=HEX``.
        models_dirs: Folders searched for model folders, and later for weights files by checksum.
        cache: Folder for what is fetched and added.
        offline: Never fetch.
        measured: Refuse a folder whose item lacks a measured fact; ``False`` is for the check that measures it.

    Raises:
        UnknownModelError: If there is no such model; the nearest names are in the message.
        ModelSpecError: If its item contradicts itself.
        WeightsError: If it is at an address and cannot be had.
    """
    search = tuple(models_dirs)
    if reference.startswith(_TORCHGEO):
        from geoseg.models.torchgeo_weights import torchgeo_folder  # noqa: PLC0415  # imports torchgeo

        return torchgeo_folder(reference.removeprefix(_TORCHGEO), search=search, cache=cache, offline=offline)
    if reference.startswith(EMBEDDING):
        name = reference.removeprefix(EMBEDDING)
        return embedding_folder(resolve(name, models_dirs=search, cache=cache, offline=offline))
    if is_text_image(reference):
        return text_image_folder(reference, search=search, cache=cache, offline=offline)
    if reference.startswith(HUB):
        from geoseg.models.hub import hub_folder  # noqa: PLC0415  # HTTP that names need not wait for

        name = reference.removeprefix(HUB)
        return hub_folder(name, search=search, cache=cache, offline=offline, measured=measured)
    if reference.startswith(_ADDRESSES):
        from geoseg.models.https import https_folder  # noqa: PLC0415  # as above

        return https_folder(reference, search=search, cache=cache, offline=offline, measured=measured)
    for path in _candidates(reference, search, cache):
        if is_file(path / ITEM):
            return ModelFolder.open(path, search=search, cache=cache, offline=offline, measured=measured)
    if _is_path(reference):
        raise UnknownModelError(
            f"the model {reference!r}", f"a folder with a file {ITEM}", "give the path of a model folder"
        )
    names = [name for name, _ in named_folders(search, cache)]
    nearest = difflib.get_close_matches(reference, names, n=3, cutoff=0.4)
    raise UnknownModelError(
        f"the model {reference!r}",
        f"one of {', '.join(nearest)} (the nearest names)" if nearest else f"one of {', '.join(names)}",
        "geoseg models list shows every model; a path to a model folder works too",
    )


def is_elsewhere(reference: str) -> bool:
    """Whether a reference means a model that others publish, not a folder of this machine."""
    return reference.startswith((_TORCHGEO, HUB, *_ADDRESSES))


def list_models(
    *, models_dirs: Sequence[Path] = (), cache: Path | None = None, offline: bool = False
) -> list[ModelFolder]:
    """Every model folder that a name resolves to, sorted by name; broken ones are logged and left out."""
    search = tuple(models_dirs)
    result: dict[str, ModelFolder] = {}
    for name, path in named_folders(search, cache):
        if name in result:
            continue
        try:
            result[name] = ModelFolder.open(path, search=search, cache=cache, offline=offline)
        except ModelSpecError as err:
            _LOG.warning("%s is no model folder that can be used: %s", path, err.given)
    return [result[name] for name in sorted(result)]


def _candidates(reference: str, search: Sequence[Path], cache: Path | None) -> Iterator[Path]:
    """Folders that a reference may mean, in the order of their right."""
    if not reference or "\0" in reference:
        return
    if _is_path(reference):
        yield Path(reference).expanduser()
        return
    for name, path in named_folders(search, cache):
        if name == reference:
            yield path
    yield Path(reference)


def _is_path(reference: str) -> bool:
    separators = {os.sep, os.altsep or os.sep, "/"}
    return any(separator in reference for separator in separators) or reference.startswith((".", "~"))


def named_folders(search: Sequence[Path], cache: Path | None) -> Iterator[tuple[str, Path]]:
    """(name, folder) of the built-in models, then of those below the search folders, then of those that were added."""
    for item in sorted(BUILTIN.glob(f"*/{ITEM}")):
        yield item.parent.name, item.parent
    for root in search:
        for depth in range(_SEARCH_DEPTH + 1):
            for item in sorted(root.glob("*/" * depth + ITEM)):
                yield item.parent.name, item.parent
    if cache is not None:
        for item in sorted((cache / ADDED).glob(f"*/{ITEM}")):
            yield item.parent.name, item.parent
