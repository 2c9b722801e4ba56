"""Models at an address: ``https://…/item.json#sha256=HEX``. The digest is part of the name.

So nothing needs to be asked twice, and what is another model has another name. Addresses in the item are relative to
it; every file that is fetched has its checksum there.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urldefrag, urljoin

from geoseg.errors import RequestError, UnknownModelError, WeightsError
from geoseg.models.fetching import fetch, may_ask, temporary_beside
from geoseg.models.folder import ITEM, MAX_JSON_BYTES, ModelFolder
from geoseg.remote import Trouble

_DIGEST = re.compile(r"sha256=([0-9a-fA-F]{64})")


def https_folder(
    reference: str, *, search: tuple[Path, ...], cache: Path | None, offline: bool, measured: bool = True
) -> ModelFolder:
    """The model whose item lies at an address.

    Args:
        reference: Address of the item, with its SHA-256 behind ``#sha256=``.
        search: As for ``ModelFolder``.
        cache: As for ``ModelFolder``; needed.
        offline: As for ``ModelFolder``; an item that was fetched before still works.
        measured: As for ``ModelFolder.open``.

    Raises:
        UnknownModelError: If the address is none that may be asked, or has no digest.
        ModelSpecError: If the item cannot be obeyed.
        WeightsError: If it cannot be had, or is not the one of the digest.
    """
    href, _, fragment = reference.partition("#")
    digest = _DIGEST.fullmatch(fragment)
    if digest is None or not may_ask(href):
        raise UnknownModelError(
            f"the model {reference!r}",
            "https://…/item.json#sha256= and the 64 digits of the item's SHA-256",
            "ask its publisher for the digest; sha256sum item.json prints it",
        )
    if cache is None:
        raise RequestError(f"the model {reference!r} without a cache folder", "one", "name it: cache=FOLDER")
    sha256 = digest[1].lower()
    path = cache / "items" / sha256
    _keep(href, path / ITEM, sha256, offline=offline)
    opened = ModelFolder.open(path, search=search, cache=cache, offline=offline, measured=measured)
    weights = opened.spec.weights
    if weights.layout is not None and weights.layout_sha256 is not None:
        _keep(urljoin(href, weights.layout), path / weights.layout, weights.layout_sha256, offline=offline)
    return opened.published_at(href, sha256)


def _keep(href: str, target: Path, sha256: str, *, offline: bool) -> None:
    """Have a small file under its name, fetched if need be, and be sure that it is the right one."""
    if target.is_file() and _digest(target) == sha256:
        return
    if offline:
        raise WeightsError(
            f"{href}, which is not on this machine (offline: nothing is fetched)",
            f"a file with SHA-256 {sha256}",
            f"put it at {target}, use the model once with a network, or make a bundle where there is one, with: "
            "geoseg bundle",
        )
    with temporary_beside(target) as temporary:
        try:
            fetch(href, temporary, MAX_JSON_BYTES)
        except Trouble as trouble:
            raise WeightsError(
                f"{trouble.href}: {trouble.words}",
                f"{target.name} of a model, with SHA-256 {sha256}",
                f"check the address and try again, or put the file at {target}",
            ) from trouble
        found = _digest(temporary)
        if found != sha256:
            raise WeightsError(
                f"{urldefrag(href).url} with SHA-256 {found} and {temporary.stat().st_size:,} bytes",
                f"SHA-256 {sha256}",
                "ask its publisher which is right: the file was altered, or is a newer one with another digest",
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
