"""Packs a bundle: everything is gathered beside its final place, summed up, and then given its name."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import geoseg
from geoseg.bundle.manifest import MANIFEST, BundledModel, FileEntry, Manifest
from geoseg.bundle.words import notice, readme, versions
from geoseg.demo import write_demo
from geoseg.errors import OutputOccupiedError, RequestError
from geoseg.heads import plugin_of_head
from geoseg.models import ModelFolder
from geoseg.models.exports.carrying import carry_exports
from geoseg.models.folder import ITEM, SMP_CONFIG, write_item
from geoseg.models.licences import licence_kind
from geoseg.models.registry import BUILTIN
from geoseg.models.weights import find_weights
from geoseg.outputs.files import file_facts, output_errors, whole_file

#: A sample of 15 MB is fetched and unpacked in seconds; `geoseg demo` writes the whole demo.
_SAMPLE_PX, _SAMPLE_UAV_PX = (512, 768), (512, 512)
_CARRIED = re.compile(r"(readme|licen[cs]e|notice|copying|citation|authors)", re.IGNORECASE)
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
# Members have no time of their own: equal contents make equal archives.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644


def bundle_name(reference: str, folder: ModelFolder) -> str:
    """Name of a model in a bundle: the one that it was asked for by, or that of its item for paths and addresses.

    Raises:
        RequestError: If a model of geoseg's own has that name, which would be found in its stead.
    """
    name = reference if _NAME.fullmatch(reference) else re.sub(r"[^0-9A-Za-z._-]+", "-", folder.spec.name).strip("-.")
    own = BUILTIN / name
    if (own / ITEM).is_file() and folder.path.resolve() != own.resolve():
        raise RequestError(
            f"the model {reference}, whose name {name} is that of a model of geoseg's own",
            "a name that no other model has",
            "give its item.json another id",
        )
    return name


def make_bundle(out: Path, models: Mapping[str, ModelFolder]) -> Manifest:
    """Write a bundle.

    Args:
        out: Its folder, or its ZIP file where the name ends so. Nothing but an empty folder may be there.
        models: Name in the bundle to model. Weights that are not on this machine are fetched first.

    Returns:
        What it holds.

    Raises:
        OutputOccupiedError: If something is there.
        WeightsError: If weights are missing and cannot be fetched, or an export is altered.
        OutputError: If the bundle cannot be written whole; nothing is left of it then.
    """
    _check_place(out)
    weights = {name: find_weights(folder) for name, folder in models.items()}
    is_archive = out.suffix.lower() == ".zip"
    with output_errors(out), tempfile.TemporaryDirectory(prefix=f".{out.name}.part-", dir=out.parent) as scratch:
        folder = Path(scratch) / (out.stem if is_archive else out.name)
        for name, model in models.items():
            _copy_model(model, weights[name], folder / "models" / name)
            carry_exports(model, ModelFolder.open(folder / "models" / name))
        write_demo(folder / "sample", shape=_SAMPLE_PX, uav_shape=_SAMPLE_UAV_PX)
        facts = tuple(_facts(name, model) for name, model in sorted(models.items()))
        (folder / "constraints.txt").write_text(versions(), encoding="utf-8")
        (folder / "NOTICE.md").write_text(notice(facts), encoding="utf-8")
        (folder / "README.md").write_text(readme(facts), encoding="utf-8")
        manifest = Manifest(geoseg=geoseg.__version__, models=facts, files=_files(folder))
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if is_archive:
            with whole_file(out) as temporary:
                _archive(folder, temporary)
        else:
            folder.replace(out)
    return manifest


def _check_place(out: Path) -> None:
    if not out.parent.is_dir():
        raise RequestError(f"{out}: there is no folder {out.parent}", "a place in a folder", f"make {out.parent} first")
    is_empty_folder = out.is_dir() and out.suffix.lower() != ".zip" and not any(out.iterdir())
    if out.exists() and not is_empty_folder:
        raise OutputOccupiedError(f"{out}, which is there", "a new name for the bundle", "choose another, or remove it")


def _copy_model(model: ModelFolder, weights: Path, target: Path) -> None:
    """What a model is made of, and what it is passed on under; nothing else that lies in its folder."""
    target.mkdir(parents=True)
    if (model.path / ITEM).is_file():
        wanted = {ITEM, SMP_CONFIG, model.spec.weights.layout}
        for path in sorted(model.path.iterdir()):
            if path.is_file() and (path.name in wanted or _CARRIED.match(path.name)):
                shutil.copyfile(path, target / path.name)
    else:
        write_item(target, model.spec.to_item())
    shutil.copyfile(weights, target / model.spec.weights.file_name)


def _facts(name: str, model: ModelFolder) -> BundledModel:
    spec, head = model.spec, plugin_of_head(model.spec)
    return BundledModel(
        name=name,
        title=spec.title,
        licence=spec.licence,
        attribution=spec.attribution,
        source=spec.source,
        licence_kind=licence_kind(spec.licence),
        needs="" if head is None else f"{head.distribution} {head.version}",
    )


def _files(folder: Path) -> dict[str, FileEntry]:
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        facts = file_facts(path)
        found[path.relative_to(folder).as_posix()] = FileEntry(sha256=facts.sha256, bytes=facts.size_bytes)
    return found


def _archive(folder: Path, target: Path) -> None:
    """The folder as a ZIP file, all in one folder of the same name."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}", _EPOCH)
            member.external_attr = _MODE << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            member.file_size = path.stat().st_size  # tells whether the large form of the format is needed
            with path.open("rb") as source, archive.open(member, "w") as into:
                shutil.copyfileobj(source, into, 2**20)
