"""Models of a hub that speaks Hugging Face's protocol: ``hf:ORG/NAME``, or ``hf:ORG/NAME@REVISION``.

The library finds the commit and says who asks; files come through geoseg's own limits, are held against the digests
that the hub states, and are kept by commit. Weights are not fetched here but when a job needs them, by the checksum in
the item. What a branch meant at first is remembered: when it means another model later, that is said, not used.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from geoseg.errors import ModelSpecError, RequestError, UnknownModelError, WeightsError
from geoseg.models.fetching import fetch, may_ask, temporary_beside
from geoseg.models.folder import CARD, ITEM, MAX_JSON_BYTES, SMP_CONFIG, ModelFolder
from geoseg.remote import Trouble, check_host

_LOG = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
_REVISION = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAIN = "main"
_TIMEOUT_S = 5.0
_SMALL = (SMP_CONFIG, CARD)
_SMALL_BEGINNINGS = ("LICENSE", "LICENCE", "NOTICE")
#: Weights that are fetched before their checksum is known, by ``geoseg models add --item``.
_MAX_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the hub says of a file: size, SHA-256 of large files, git's own digest of small ones."""

    size: int | None
    sha256: str | None
    blob: str | None


@dataclass(frozen=True, slots=True)
class _Listing:
    commit: str
    files: Mapping[str, _Entry]


def endpoint() -> str:
    """Address of the hub, without a slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def is_of_hub(href: str) -> bool:
    """Whether the hub has this address; others never get its token."""
    return href.startswith(endpoint() + "/")


def token_headers() -> dict[str, str]:
    """Who asks, where the user has a token."""
    try:
        from huggingface_hub import get_token  # noqa: PLC0415  # a quarter of a second
    except ImportError:
        return {}
    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def hub_folder(
    reference: str, *, search: tuple[Path, ...], cache: Path | None, offline: bool, measured: bool = True
) -> ModelFolder:
    """The model that a repository holds.

    Args:
        reference: ``ORG/NAME`` or ``ORG/NAME@REVISION``; a full commit is never asked for twice.
        search: As for ``ModelFolder``.
        cache: As for ``ModelFolder``; needed.
        offline: As for ``ModelFolder``; what was used before still works.
        measured: As for ``ModelFolder.open``.

    Raises:
        UnknownModelError: If there is no such repository or revision, or it is not open to the user.
        ModelSpecError: If it holds no model folder.
        WeightsError: If the hub does not answer and the model was never used here, or it means another model now.
    """
    repository = _Repository.named(reference, cache, offline=offline)
    options = {"search": search, "cache": cache, "offline": repository.offline, "measured": measured}
    known = repository.used()
    commit = repository.kept_commit(known)
    if commit is None:
        listing = repository.listing_or_none(known)
        commit = known[repository.revision]["commit"] if listing is None else listing.commit
        if listing is not None:
            repository.get_model(listing)
    folder = repository.open(commit, **options)
    layout = folder.spec.weights.layout
    if layout is not None and not (folder.path / layout).is_file():
        files_of_hub(f"{repository.name}@{commit}", [layout], cache=cache, offline=offline)
    repository.settle(folder, known)
    return folder


def files_of_hub(reference: str, names: Sequence[str], *, cache: Path | None, offline: bool) -> tuple[Path, str]:
    """Named files of a repository, whatever else it holds.

    Args:
        reference: As for ``hub_folder``.
        names: Paths in the repository; small files that belong to every model come too, where they are there.
        cache: As for ``hub_folder``.
        offline: As for ``hub_folder``.

    Returns:
        The folder that has them, and the commit.

    Raises:
        GeosegError: As ``hub_folder``.
    """
    repository = _Repository.named(reference, cache, offline=offline)
    if repository.offline:
        folder = repository.root / repository.revision
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise repository.never_used(", ".join(missing))
        return folder, repository.revision
    listing = repository.listing()
    for name in (*_small(listing), *names):
        if name not in listing.files:
            raise repository.lacks(name, listing)
        repository.get(listing, name, _MAX_BYTES)
    return repository.root / listing.commit, listing.commit


def wanted_files_of_hub(
    reference: str, layouts: Sequence[Sequence[str]], *, cache: Path | None, offline: bool
) -> tuple[Path, str]:
    """Those of some files that a repository of another kind of model has; a full commit is never asked for twice.

    Args:
        reference: As for ``hub_folder``.
        layouts: Paths in the repository, for each way to lay it out; the first two of one of them are needed, the first
            layout that is there is taken.
        cache: As for ``hub_folder``.
        offline: As for ``hub_folder``.

    Returns:
        The folder that has them, and the commit.

    Raises:
        GeosegError: As ``hub_folder``.
    """
    repository = _Repository.named(reference, cache, offline=offline)
    folder = repository.root / repository.revision
    if any(all((folder / name).is_file() for name in names[:2]) for names in layouts):
        return folder, repository.revision
    if repository.offline:
        raise repository.never_used(f"its files at a full commit, as in hf:{repository.name}@COMMIT")
    listing = repository.listing()
    lacking = [[name for name in names[:2] if name not in listing.files] for names in layouts]
    if all(lacking):
        raise repository.lacks(lacking[0][0], listing)
    names = layouts[lacking.index([])]
    for name in (*_small(listing), *(name for name in names if name in listing.files)):
        repository.get(listing, name, _MAX_BYTES)
    return repository.root / listing.commit, listing.commit


def _small(listing: _Listing) -> Iterator[str]:
    for name in sorted(listing.files):
        if name in _SMALL or (name.upper().startswith(_SMALL_BEGINNINGS) and "/" not in name):
            yield name


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository at a revision, and where its files are kept."""

    name: str
    revision: str
    root: Path
    offline: bool

    @classmethod
    def named(cls, reference: str, cache: Path | None, *, offline: bool) -> _Repository:
        name, _, revision = reference.partition("@")
        if not _NAME.fullmatch(name) or ".." in reference or not _REVISION.fullmatch(revision or _MAIN):
            raise UnknownModelError(
                f"the model 'hf:{reference}'",
                "hf:ORG/NAME, or hf:ORG/NAME@REVISION",
                "copy the name from the model's page on the hub",
            )
        if cache is None:
            raise RequestError(f"the model 'hf:{reference}' without a cache folder", "one", "name it: cache=FOLDER")
        if not may_ask(endpoint()):
            raise RequestError(f"HF_ENDPOINT {endpoint()}", "an HTTPS address", "correct HF_ENDPOINT")
        return cls(name, revision or _MAIN, cache / "hub" / name.replace("/", "--"), offline or _library_is_offline())

    @property
    def _reference(self) -> str:
        return f"hf:{self.name}" + (f"@{self.revision}" if self.revision != _MAIN else "")

    @property
    def _record(self) -> Path:
        return self.root / "used.json"

    def used(self) -> dict[str, dict[str, str]]:
        """What each revision meant when it was used first: commit, digest of the model, day."""
        try:
            found = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def kept_commit(self, known: Mapping[str, Mapping[str, str]]) -> str | None:
        """The commit whose model is here and may be used without asking, or ``None``."""
        commit = self.revision if _COMMIT.fullmatch(self.revision) else None
        if commit is None and self.offline:
            commit = known.get(self.revision, {}).get("commit")
        if commit is not None and (self.root / commit / ITEM).is_file():
            return commit
        if self.offline:
            raise self.never_used("its files")
        return None

    def listing_or_none(self, known: Mapping[str, Mapping[str, str]]) -> _Listing | None:
        """What the hub has, or ``None`` where it does not answer and an earlier answer will do."""
        try:
            return self.listing()
        except WeightsError as err:
            if not (self.root / known.get(self.revision, {}).get("commit", "-") / ITEM).is_file():
                raise
            _LOG.warning("%s; what %s was before is used", err.given, self._reference)
            return None

    def listing(self) -> _Listing:
        """What the hub has.

        Raises:
            WeightsError: If it does not answer.
            UnknownModelError: If it has no such repository for this user.
        """
        try:
            return self._asked()
        except Trouble as trouble:
            raise WeightsError(
                f"{trouble.href}: {trouble.words}",
                f"the model {self._reference}, which was never used on this machine",
                "try again, or make a bundle where there is a network, with: geoseg bundle",
            ) from trouble

    def _asked(self) -> _Listing:
        library = _library(self._reference)
        page = f"{endpoint()}/{self.name}"
        check_host(page)
        api = library.HfApi(endpoint=endpoint())
        try:
            info = api.model_info(self.name, revision=self.revision, timeout=_TIMEOUT_S, files_metadata=True)
        except library.errors.GatedRepoError as err:
            raise self._refused("which its owner gives to some", "accept its licence on its page, and") from err
        except library.errors.RevisionNotFoundError as err:
            raise self._refused("whose revision is not there", "correct what is behind the @, or") from err
        except library.errors.RepositoryNotFoundError as err:
            raise self._refused("which is not there, or is private", "correct the name, or") from err
        except library.errors.HTTPError as err:  # the library's own errors, and those of its client
            raise Trouble(page, f"no answer ({type(err).__name__}: {err})".partition("\n")[0], "transport") from err
        files = {
            sibling.rfilename: _Entry(sibling.size, sibling.lfs.sha256 if sibling.lfs else None, sibling.blob_id)
            for sibling in info.siblings or ()
        }
        if not _COMMIT.fullmatch(str(info.sha)):
            raise Trouble(page, "an answer without a commit", "transport")
        return _Listing(str(info.sha), files)

    def _refused(self, given: str, todo: str) -> UnknownModelError:
        return UnknownModelError(
            f"the model {self._reference}, {given}",
            f"a repository at {endpoint()} that you may read",
            f"{todo} set HF_TOKEN to a token that may read it",
        )

    def get_model(self, listing: _Listing) -> None:
        """Fetch what describes the model; its item comes last, so that where it is the rest is too."""
        if (self.root / listing.commit / ITEM).is_file():
            return
        if ITEM not in listing.files:
            raise self.lacks(ITEM, listing)
        for name in _small(listing):
            self.get(listing, name, MAX_JSON_BYTES)
        self.get(listing, ITEM, MAX_JSON_BYTES)

    def get(self, listing: _Listing, name: str, most_bytes: int) -> None:
        """Fetch a file; kept only when it is what the hub says."""
        target, entry = self.root / listing.commit / name, listing.files[name]
        if target.is_file():
            return
        if not target.resolve().is_relative_to(self.root.resolve()) or (entry.size or 0) > most_bytes:
            raise self.lacks(f"{name} of at most {most_bytes:,} bytes", listing)
        with temporary_beside(target) as temporary:
            try:
                fetch(self._href(listing.commit, name), temporary, most_bytes, headers=token_headers())
            except Trouble as trouble:
                raise WeightsError(
                    f"{trouble.href}: {trouble.words}", f"{name} of the model {self._reference}", "try again"
                ) from trouble
            if not _is(temporary, entry):
                raise WeightsError(
                    f"{name} of {self._reference} with {temporary.stat().st_size:,} bytes",
                    f"the file that the hub lists, of {entry.size or 0:,} bytes and digest {entry.sha256 or entry.blob}",
                    "try again: it was truncated or altered on its way",
                )

    def _href(self, commit: str, name: str) -> str:
        return f"{endpoint()}/{self.name}/resolve/{commit}/{quote(name)}"

    def lacks(self, name: str, listing: _Listing) -> ModelSpecError:
        """The refusal of a repository that is no model folder."""
        there = ", ".join(sorted(listing.files)[:8]) or "nothing"
        return ModelSpecError(
            f"the model {self._reference}, a repository with {there}",
            f"a file {name}",
            f"describe it in an item of your own: geoseg models add {self._reference} --item FILE",
        )

    def never_used(self, what: str) -> WeightsError:
        """The refusal where the hub must not be asked."""
        return WeightsError(
            f"the model {self._reference}, of which {what} are not on this machine (offline: nothing is fetched)",
            "a model that was used here before",
            f"use it once with a network, put its folder into one that GEOSEG_MODELS names, or make a bundle where there "
            f"is a network, with: geoseg bundle ({self.root} is where it would be)",
        )

    def open(self, commit: str, **options: Any) -> ModelFolder:  # as for `ModelFolder.open`
        """The model folder of a commit."""
        return ModelFolder.open(self.root / commit, **options).published_at(self._href(commit, ITEM), commit)

    def settle(self, folder: ModelFolder, known: dict[str, dict[str, str]]) -> None:
        """Remember what the revision means, or refuse it where that is another model than before."""
        before = known.get(self.revision)
        if before is not None and before["commit"] == folder.revision:
            return
        if before is not None and before["digest"] != folder.spec.digest:
            first, now = before["commit"], folder.revision
            raise WeightsError(
                f"the model {self._reference}, which is another one since {before['since']}: commit {now[:12]}",
                f"the model that this machine used before, of commit {first[:12]}",
                f"say which: hf:{self.name}@{first} or hf:{self.name}@{now}; or remove {self._record} to take what is "
                "there now",
            )
        if folder.undeclared:
            return  # stand-ins: it is about to be measured, not used
        entry = {"commit": folder.revision, "digest": folder.spec.digest, "since": _today()}
        with temporary_beside(self._record) as temporary:
            temporary.write_text(json.dumps({**known, self.revision: entry}, indent=2) + "\n", encoding="utf-8")


def _today() -> str:
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def _is(path: Path, entry: _Entry) -> bool:
    """Whether a file is the one that was listed, as far as the list says."""
    content_bytes = path.stat().st_size
    if entry.size is not None and content_bytes != entry.size:
        return False
    with path.open("rb") as file:
        if entry.sha256 is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        if entry.blob is not None and _COMMIT.fullmatch(entry.blob):
            git = hashlib.sha1(f"blob {content_bytes}\0".encode(), usedforsecurity=False)
            git.update(file.read())
            return git.hexdigest() == entry.blob
    return True


def _library(reference: str) -> Any:  # Any: a module that only an extra brings
    try:
        import huggingface_hub  # noqa: PLC0415  # a quarter of a second, and not in the base install
        import huggingface_hub.errors  # noqa: PLC0415
    except ImportError as err:
        raise RequestError(
            f"the model {reference} without the library huggingface_hub", "it", "pip install 'geoseg[torch]'"
        ) from err
    return huggingface_hub


def _library_is_offline() -> bool:
    """What the library itself would say; it is not imported for that."""
    words = {"1", "ON", "YES", "TRUE"}
    return any(os.environ.get(name, "").upper() in words for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
