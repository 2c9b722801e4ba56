"""What becomes of odd rasters and items: a table with a row for each, made by runs of the command line itself.

A raster is mapped, with nothing but its bands named, by a small network with random weights: classes mean nothing here,
places and refusals do. Where a refusal names ``--pixel-grid`` as the way out, that is tried too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoseg.errors import GeosegError
from geoseg.models.saving import save_model
from geoseg.models.spec import ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import Step
from geoseg.scenes.catalogs.documents import UnusableItemError, item_of
from geoseg.scenes.recognise import sensor_of
from geoseg.scenes.understand import understand

_RASTERS = {".tif", ".tiff", ".jp2", ".img", ".vrt", ".png", ".jpg"}
_LIMIT_S = 300
_REFUSALS = {2: "refused", 3: "nothing to map", 4: "failed pixels"}


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one input.

    Attributes:
        name: File, with the options that it was given; or file and item.
        outcome: ``mapped``, ``understood``, a refusal, or ``FAULT``.
        facts: Of the map: size, CRS, upper left corner, share without data.
        message: Warnings, or the lines of the refusal.
    """

    name: str
    outcome: str
    facts: str
    message: str

    @property
    def is_fault(self) -> bool:
        """Whether geoseg has neither done it nor said why not."""
        return self.outcome.startswith("FAULT")


def tabulate(folders: Sequence[Path], scratch: Path, say: Callable[[str], object], *, markdown: bool) -> bool:
    """Try every raster and STAC document of some folders, and print a row for each as it is done.

    Args:
        folders: Folders, or files.
        scratch: Where maps and models go.
        say: Takes the text.
        markdown: Whether to print a Markdown table instead of lines.

    Returns:
        Whether every input was mapped, understood or refused with a reason.
    """
    if markdown:
        say("| input | outcome | map | message |\n|---|---|---|---|\n")
    whole = True
    for folder in folders:
        for path in _inputs(folder):
            for row in _documents(path) if path.suffix == ".json" else _rasters(path, scratch):
                cells = (row.name, row.outcome, row.facts, row.message)
                text = (
                    " | ".join(cell.replace("|", "/") for cell in cells) if markdown else "; ".join(filter(None, cells))
                )
                say(f"| {text} |\n" if markdown else f"{text}\n")
                whole = whole and not row.is_fault
    return whole


def _inputs(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in {*_RASTERS, ".json"})


def _rasters(path: Path, scratch: Path) -> Iterator[Row]:
    bands, given = _bands(path)
    options = ["--bands", ",".join(given)] if given else []
    row = _run(path, bands, options, scratch)
    yield row
    if row.outcome.startswith("refused") and "--pixel-grid" in row.message:
        yield _run(path, bands, [*options, "--pixel-grid"], scratch)


def _bands(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bands that the model is to read, and names to give; colours that the file states need none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                colours = [colour.name for colour in source.colorinterp]
                count = source.count
    except RasterioError:
        return ("band",), ()
    if not count:  # a container of several rasters
        return ("band",), ()
    rgb = ("red", "green", "blue")
    if set(rgb) <= set(colours):
        return rgb, ()
    names = tuple(f"band{number}" for number in range(1, count + 1))
    return names, names


def _run(path: Path, bands: tuple[str, ...], options: list[str], scratch: Path) -> Row:
    """A whole process: what a user would see, an exit status included."""
    out = scratch / "map"
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(path), "--model", str(_model(bands, scratch))]
    command += ["--out", str(out), "--device", "cpu", "--backend", "torch", "--fresh", "--json"]
    command += options
    name = " ".join([path.name, *(option for option in options if option == "--pixel-grid")])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Row(name, "FAULT", "", f"not done after {_LIMIT_S} s")
    if done.returncode == 0:
        report = json.loads(done.stdout)
        return Row(name, "mapped", _facts(report), " / ".join(report["warnings"]))
    lines = [line for line in done.stderr.splitlines() if line.startswith(("given:", "expected:", "to do:"))]
    outcome = _REFUSALS.get(done.returncode, "FAULT") if len(lines) == 3 else "FAULT"  # the three lines
    words = " / ".join(" ".join(line.split()) for line in lines or done.stderr.splitlines()[-3:])
    return Row(name, f"{outcome} (exit {done.returncode})", "", words.replace(f"{path.parent}/", ""))


def _facts(report: dict[str, Any]) -> str:
    grid, pixels = report["grid"], report["pixels"]
    rows, cols = grid["shape"]
    code = grid["crs"] or "no place"
    corner = ", ".join(f"{value:.5f}" for value in grid["corners_lonlat"][0]) if grid["corners_lonlat"] else ""
    empty = pixels["nodata_unobserved"] / max(pixels["aoi"], 1)
    crs = code if code.startswith(("EPSG:", "no place")) else "a CRS without a code"
    return ", ".join(
        filter(None, [f"{cols} x {rows} px", crs, f"from {corner}" if corner else "", f"{empty:.2%} empty"])
    )


def _model(bands: tuple[str, ...], scratch: Path) -> Path:
    """The folder of a small network with random weights that reads these bands."""
    folder = scratch / "models" / "-".join(bands)
    if folder.exists():
        return folder
    from geoseg.models.networks import build  # noqa: PLC0415  # torch, once a network is made

    spec = ModelSpec(
        name="odd",
        title="A small network with random weights",
        licence="Apache-2.0",
        source="https://example.org/odd",
        bands=bands,
        quantity="digital-number",
        transform=(Step.of("divide", by=255.0),),
        classes=(ClassInfo(0, "one", "#1b9e77"), ClassInfo(1, "other", "#d95f02")),
        kind="finite",
        stride_px=8,
        radius_px=(36, 36, 29, 29),
        cell_px=32,
        workspace_bytes_per_px=400.0,
        architecture="geoseg:small-unet",
        hyperparameters={"widths": [8, 12, 16]},
        weights=WeightsRef("model.safetensors", "0" * 64, 1, "model.safetensors", "safetensors"),
    )
    save_model(folder, spec, build(spec).eval())
    return folder


def _documents(path: Path) -> Iterator[Row]:
    """Items of a STAC document: the sensor that they are understood as, or the reason why not."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as err:
        yield Row(path.name, "refused", "", f"no JSON: {err}")
        return
    features = document.get("features", [document]) if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        yield Row(path.name, "refused", "", "JSON that is no item and no collection of items")
        return
    for feature in features:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield _understood(path, feature)


def _understood(path: Path, feature: dict[str, Any]) -> Row:
    name = f"{path.name}: {feature.get('id', '')}"
    if feature.get("type") != "Feature":
        return Row(name, "refused", "", f"no item: a JSON object of type {feature.get('type')!r}")
    try:
        item = item_of(feature, str(path))
    except UnusableItemError as err:
        return Row(name, "refused", "", str(err))
    try:
        sensor = sensor_of(item, None)
        found = understand(item, sensor.rgb or tuple(sensor.aliases)[:1], sensor)
    except GeosegError as err:
        return Row(name, "refused", "", " / ".join(" ".join(line.split()) for line in str(err).splitlines()))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        return Row(name, "FAULT", "", f"{type(err).__name__}: {err}")
    sources = ", ".join(f"{b} = raw x {s.scale:g} {s.offset:+g}" for b, s in found.bands.items())
    return Row(name, "understood", f"{sensor.name}, {found.datetime[:10]}", sources)
