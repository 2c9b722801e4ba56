"""Finds a model's weights file: beside its item, by checksum in the models folders, in the cache, or fetches it.

A file is used only when its SHA-256 is the spec's. A fetched file gets its final name after the check, never before.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import stamina

from geoseg.errors import WeightsError
from geoseg.models.folder import ModelFolder
from geoseg.models.spec import WeightsRef

#: Bounds of the search by checksum, so that a mistaken GEOSEG_MODELS=/ ends.
_MAX_DEPTH = 6
_MAX_FILES = 20_000

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_ATTEMPTS = 4
_TOTAL_S = 300.0
_TRANSIENT = {429, 500, 502, 503, 504}
_MAX_RETRY_AFTER_S = 60.0
#: Where the publisher states no size, more than this is not fetched.
_MAX_BYTES = 4 * 2**30


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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matches(path: Path, reference: WeightsRef) -> bool:
    return _digest(path).startswith(reference.sha256)


def _verify(path: Path, reference: WeightsRef, name: str | None = None) -> None:
    """Raise ``WeightsError`` unless the file is what the spec says."""
    size, digest = path.stat().st_size, _digest(path)
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
        raise WeightsError(
            f"the weights {reference.file_name} of the model {folder.spec.name!r}, which are not on this machine",
            f"the file with SHA-256 {reference.sha256} (published at {reference.href})",
            f"put it into {_places(folder)}{' (offline: nothing is fetched)' if folder.offline else ''}",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with client or httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as open_client:
            _download(open_client, reference, temporary)
        _verify(temporary, reference, name=reference.href)
        temporary.replace(target)
    except httpx.HTTPError as err:
        raise WeightsError(
            f"{reference.href}: {str(err) or type(err).__name__}",
            f"the weights {reference.file_name} of the model {folder.spec.name!r}",
            f"try again, or put the file into {_places(folder)}",
        ) from err
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _places(folder: ModelFolder) -> str:
    """Where a user may put the file."""
    own = f"{folder.path} or " if folder.path.is_dir() else ""
    return f"{own}a folder that GEOSEG_MODELS names"


def _is_transient(error: Exception) -> bool | float:
    """Whether trying again may help; seconds where the server says how long to wait."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code not in _TRANSIENT:
            return False
        wait = error.response.headers.get("retry-after", "")
        return min(float(wait), _MAX_RETRY_AFTER_S) if wait.isdigit() else True
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def _download(client: httpx.Client, reference: WeightsRef, target: Path) -> None:
    limit = reference.size_bytes if reference.size_bytes is not None else _MAX_BYTES
    for attempt in stamina.retry_context(on=_is_transient, attempts=_ATTEMPTS, timeout=_TOTAL_S):
        with attempt, client.stream("GET", reference.href) as response, target.open("wb") as file:
            response.raise_for_status()
            written = 0
            for chunk in response.iter_bytes(2**20):
                written += file.write(chunk)
                if written > limit:
                    break  # more than the file can be: the checksum will say so
