"""Finds a model's weights file: beside its item, by checksum in the models folders, in the cache, or fetches it.

A file is used only when its SHA-256 is the spec's. A fetched file gets its final name after the check, never before.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from geoseg.errors import RequestError, WeightsError
from geoseg.models.digests import digest_of_file
from geoseg.models.fetching import fetch, temporary_beside
from geoseg.models.folder import ModelFolder
from geoseg.models.registry import BUILTIN
from geoseg.models.spec import WeightsRef
from geoseg.remote import Trouble

#: Bounds of the search by checksum, so that a mistaken GEOSEG_MODELS=/ ends.
_MAX_DEPTH = 6
_MAX_FILES = 20_000

#: Where the publisher states no size, more than this is not fetched.
_MAX_BYTES = 4 * 2**30


def guard_pickle(weights: WeightsRef, *, allow_pickle: bool) -> None:
    """Refuse a pickle that the user has not allowed; called before anything is fetched.

    Raises:
        RequestError: If it is one.
    """
    if weights.format == "pickle" and not allow_pickle:
        raise RequestError(
            f"the weights {weights.file_name}, a Python pickle, which may run code when it is read",
            "safetensors",
            "where you trust the publisher, allow it with --allow-pickle (it is then read as numbers alone), or once and "
            "for all with: geoseg models add REFERENCE --allow-pickle, which keeps a copy as safetensors",
        )


def require_weights(folder: ModelFolder) -> bool:
    """See that a model can be run: its weights are here and right, or may be fetched. Nothing is fetched.

    Returns:
        Whether they are here.

    Raises:
        WeightsError: If they are altered or truncated, or neither here nor to be fetched.
    """
    if weights_at_hand(folder) is not None:
        return True
    if not folder.may_fetch:
        raise _not_here(folder)
    return False


def find_weights(folder: ModelFolder, *, client: httpx.Client | None = None) -> Path:
    """The verified weights file of a model.

    Args:
        folder: The model.
        client: HTTP client to fetch with; one with short timeouts is made when needed.

    Raises:
        WeightsError: If a file is there but altered or truncated, or there is none and it cannot be fetched.
    """
    found = weights_at_hand(folder)
    if found is not None:
        return found
    kept = _cache_path(folder, folder.spec.weights)
    if kept is not None:
        kept.unlink(missing_ok=True)  # altered since it was checked: fetch it again
    return _fetch(folder, kept, client)


def weights_at_hand(folder: ModelFolder) -> Path | None:
    """The verified weights file where it is on this machine; nothing is fetched and nothing removed.

    Raises:
        WeightsError: If a file lies beside the item but is altered or truncated.
    """
    reference = folder.spec.weights
    names = {reference.file_name} if urlsplit(reference.href).scheme else {reference.href, reference.file_name}
    for beside in (folder.path / name for name in sorted(names, reverse=True)):
        if beside.is_file():
            _verify(beside, reference)
            return beside
    kept = _cache_path(folder, reference)
    elsewhere = [kept] if kept is not None and kept.is_file() else []
    for path in itertools.chain(_candidates(folder.search, reference), elsewhere):
        if _matches(path, reference):
            return path
    return None


def _candidates(search: tuple[Path, ...], reference: WeightsRef) -> Iterator[Path]:
    """Files below the search folders whose size or, where the size is unknown, name fits."""
    for root in search:
        for path in itertools.islice(_files(root, 0), _MAX_FILES):
            try:
                size = path.stat().st_size
            except OSError:
                continue
            if size == reference.size_bytes or (reference.size_bytes is None and path.name == reference.file_name):
                yield path


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then of its sub-folders, to a bounded depth; links to folders are not followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_file():
            yield Path(entry.path)
    if depth < _MAX_DEPTH:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), depth + 1)


def _matches(path: Path, reference: WeightsRef) -> bool:
    return digest_of_file(path).startswith(reference.sha256)


def _verify(path: Path, reference: WeightsRef, name: str | None = None) -> None:
    """Raise ``WeightsError`` unless the file is what the spec says."""
    size, digest = path.stat().st_size, digest_of_file(path)
    if digest.startswith(reference.sha256):
        return
    wanted = f" and {reference.size_bytes:,} bytes" if reference.size_bytes is not None else ""
    raise WeightsError(
        f"{name or path} with SHA-256 {digest} and {size:,} bytes",
        f"SHA-256 {reference.sha256}{wanted}",
        "remove the file and get it again: it is truncated or altered",
    )


def _cache_path(folder: ModelFolder, reference: WeightsRef) -> Path | None:
    if folder.cache is None:
        return None
    return folder.cache / "weights" / f"{reference.sha256[:16]}-{reference.file_name}"


def _fetch(folder: ModelFolder, target: Path | None, client: httpx.Client | None) -> Path:
    """Fetch the weights into the cache."""
    reference = folder.spec.weights
    if target is None or not folder.may_fetch:
        raise _not_here(folder)
    most = reference.size_bytes if reference.size_bytes is not None else _MAX_BYTES
    with temporary_beside(target) as temporary:
        try:
            fetch(reference.href, temporary, most, headers=_headers(reference.href), client=client)
        except Trouble as trouble:
            raise WeightsError(
                f"{trouble.href}: {trouble.words}",
                f"the weights {reference.file_name} of the model {folder.spec.name!r}",
                f"try again, or put the file into {_places(folder)}; {_BUNDLE}",
            ) from trouble
        _verify(temporary, reference, name=reference.href)
    return target


def _headers(href: str) -> Mapping[str, str]:
    """Who asks, where the address is one of the hub of models."""
    from geoseg.models.hub import is_of_hub, token_headers  # noqa: PLC0415  # it knows of weights too

    return token_headers() if is_of_hub(href) else {}


def _not_here(folder: ModelFolder) -> WeightsError:
    reference = folder.spec.weights
    return WeightsError(
        f"the weights {reference.file_name} of the model {folder.spec.name!r}, which are not on this machine",
        f"the file with SHA-256 {reference.sha256} (published at {reference.href})",
        f"put it into {_places(folder)}{' (offline: nothing is fetched)' if folder.offline else ''}; {_BUNDLE}",
    )


_BUNDLE = "or make a bundle where there is a network, with: geoseg bundle"


def _places(folder: ModelFolder) -> str:
    """Where a user may put the file."""
    is_theirs = folder.path.is_dir() and not folder.href and not folder.path.is_relative_to(BUILTIN)
    own = f"{folder.path} or " if is_theirs else ""
    return f"{own}a folder that GEOSEG_MODELS names"
