"""``geoseg models add``: a model from anywhere becomes a folder of this machine, measured and under a name.

Nothing is believed: weights are held against their checksum, the network is measured and tried out on noise, pickles
that are allowed are read once, as numbers alone, and kept as safetensors. Only then the folder gets its name.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors.torch import save_file

from geoseg.errors import ModelSpecError, RequestError
from geoseg.models.check import CheckReport, check_model
from geoseg.models.exports.carrying import carry_exports
from geoseg.models.fetching import writing_to
from geoseg.models.folder import CARD, ITEM, SMP_CONFIG, ModelFolder, read_document, read_item, write_item
from geoseg.models.network import load_network
from geoseg.models.registry import ADDED, HUB, named_folders, resolve
from geoseg.models.saving import WEIGHTS, card, weights_reference
from geoseg.models.spec import WeightsRef
from geoseg.models.state import read_state
from geoseg.models.trial import try_scores
from geoseg.models.weights import find_weights, guard_pickle

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TERMS = ("LICENSE*", "LICENCE*", "NOTICE*")
_ORIGIN = "geoseg:origin"


@dataclass(frozen=True)
class Places:
    """Where models are looked for and kept.

    Attributes:
        cache: The folder below which it is added.
        search: Folders of model folders and weights.
        offline: Never fetch.
    """

    cache: Path
    search: tuple[Path, ...] = ()
    offline: bool = False

    @property
    def _options(self) -> dict[str, Any]:  # as for `resolve`
        return {"cache": self.cache, "offline": self.offline}

    def resolve(self, reference: str) -> ModelFolder:
        """A model whose facts need not be measured yet."""
        return resolve(reference, models_dirs=self.search, measured=False, **self._options)

    def open(self, path: Path) -> ModelFolder:
        """A folder whose facts need not be measured yet."""
        return ModelFolder.open(path, search=self.search, measured=False, **self._options)


def add_model(
    reference: str,
    places: Places,
    *,
    name: str = "",
    item: Path | None = None,
    allow_pickle: bool = False,
    replace_it: bool = False,
) -> CheckReport:
    """Copy a model to this machine under a name, after it was measured and tried out.

    Args:
        reference: As for ``resolve``; with ``item`` a folder or a repository of the hub that need not have one.
        places: Where to.
        name: Its name here; default the id of its item.
        item: A STAC item to describe it with.
        allow_pickle: Read weights that are a pickle; they are kept as safetensors.
        replace_it: Take the place of an added model of that name.

    Returns:
        What was measured; ``report.folder`` is the model in its place.

    Raises:
        RequestError: If the name is taken or no name, or the weights are a pickle that is not allowed.
        ModelSpecError: If the model cannot be run as its item says, whatever is written into that.
        GeosegError: As ``resolve`` and ``load_network``.
    """
    if name:
        _check_name(name, places, replace_it=replace_it)
    with _stage(places.cache) as stage:
        given = places.resolve(reference) if item is None else _described(reference, item, stage, places)
        gather(given, stage, allow_pickle=allow_pickle)
        name = name or given.spec.name
        _check_name(name, places, replace_it=replace_it)
        report = check_model(ModelFolder.open(stage, measured=False), write=True)
        problems = [*report.lasting, *try_scores(load_network(ModelFolder.open(stage)))]
        if problems:
            raise ModelSpecError(
                f"the model {reference}: {'; '.join(dict.fromkeys(problems))}",
                "a network that gives every image one answer, a score for each of its classes",
                "correct its item (classes, input steps, hyperparameters) or its weights, and add it again",
            )
        carry_exports(given, ModelFolder.open(stage))
        if not (stage / CARD).exists():
            (stage / CARD).write_text(card(report.measured), encoding="utf-8")
        target = places.cache / ADDED / name
        _move(stage, target)
    return replace(report, folder=places.open(target))


def _check_name(name: str, places: Places, *, replace_it: bool) -> None:
    """Refuse what is no name, or is taken."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"--name {name}", "letters, digits, '.', '_' and '-'; 64 at most", "choose a name with --name"
        )
    own = places.cache / ADDED / name
    for known, path in named_folders(places.search, places.cache):
        if known == name and path != own:
            raise RequestError(f"--name {name}", "a name that no other model has", f"choose another: {path} has it")
    if own.exists() and not replace_it:
        raise RequestError(
            f"--name {name}", "a name that no added model has", "choose another with --name, or add --replace"
        )


@contextmanager
def _stage(cache: Path) -> Iterator[Path]:
    """A folder that no name leads to; removed with what is left in it."""
    stage = cache / "adding" / secrets.token_hex(8)
    try:
        with writing_to(stage):
            stage.mkdir(parents=True)
            yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _described(reference: str, item: Path, stage: Path, places: Places) -> ModelFolder:
    """A folder or repository with an item of the user's, put together on the stage."""
    document = read_document(item)
    names = [name for name in _files(document) if name != ITEM]
    if reference.startswith(HUB):
        from geoseg.models.hub import files_of_hub  # noqa: PLC0415  # HTTP that folders need not wait for

        hub = reference.removeprefix(HUB)
        source, revision = files_of_hub(hub, names, cache=places.cache, offline=places.offline)
        origin = {"reference": reference, "revision": revision}
    else:
        source, origin = Path(reference).expanduser(), {}
        if not source.is_dir():
            raise RequestError(
                f"--item {item} for the model {reference}",
                "a folder, or hf:ORG/NAME: other models have items of their own",
                "drop --item, or name the folder that holds the weights",
            )
    for name in (SMP_CONFIG, *names):
        if (source / name).is_file():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, stage / name)
    _copy_words(source, stage)
    if origin:
        document.setdefault("properties", {})[_ORIGIN] = origin
    write_item(stage, document)
    return places.open(stage)


def _files(document: Mapping[str, Any]) -> Iterator[str]:
    """Paths of an item's assets, those that leave its folder left out."""
    for asset in (document.get("assets") or {}).values():
        href = str(asset.get("href") or "")
        path = PurePosixPath(href)
        if href and "://" not in href and not path.is_absolute() and ".." not in path.parts:
            yield path.as_posix()


def gather(given: ModelFolder, stage: Path, *, allow_pickle: bool) -> None:
    """Have item, weights and words of a model in a folder, with the weights beside the item."""
    weights = given.spec.weights
    guard_pickle(weights, allow_pickle=allow_pickle)
    found = find_weights(given)
    if weights.format == "pickle":
        kept = _as_safetensors(found, given, stage)
    else:
        if found != stage / weights.file_name:
            shutil.copyfile(found, stage / weights.file_name)
        kept = replace(
            weights_reference(stage / weights.file_name),
            format=weights.format,
            layout=weights.layout,
            layout_sha256=weights.layout_sha256,
        )
    for name in filter(None, (weights.layout,)):
        if given.path != stage:
            shutil.copyfile(given.path / name, stage / name)
    document = read_item(given.path) if (given.path / ITEM).is_file() else given.spec.to_item()
    document["assets"] = replace(given.spec, weights=kept).to_item()["assets"]
    if given.href:
        origin = {"href": given.href, "revision": given.revision, "weights": weights.sha256}
        document["properties"][_ORIGIN] = origin
    if given.path.is_dir():
        _copy_words(given.path, stage)
    write_item(stage, document)
    (stage / SMP_CONFIG).unlink(missing_ok=True)  # its facts are in the item by now


def _as_safetensors(found: Path, given: ModelFolder, stage: Path) -> WeightsRef:
    """A pickle that was allowed, read as numbers alone and kept as what cannot run code."""
    state = read_state(found, given.spec.weights, given.path)
    save_file({key: value.clone().contiguous() for key, value in state.items()}, stage / WEIGHTS)
    (stage / WEIGHTS).chmod(0o644)  # the library writes for the owner alone
    if found.parent == stage:
        found.unlink()
    return weights_reference(stage / WEIGHTS)


def _copy_words(source: Path, stage: Path) -> None:
    """The card, and the terms under which the weights may be used."""
    if source == stage:
        return
    for path in (source / CARD, *(path for pattern in _TERMS for path in sorted(source.glob(pattern)))):
        if path.is_file():
            shutil.copyfile(path, stage / path.name)


def _move(stage: Path, target: Path) -> None:
    """Give a finished folder its name; what had it before is removed after that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        stage.rename(target)
        return
    old = stage.with_name(f"{stage.name}-old")
    target.rename(old)
    stage.rename(target)
    shutil.rmtree(old, ignore_errors=True)
