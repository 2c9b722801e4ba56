"""The files that a person fills in: a GeoPackage for a GIS, a CSV for a spreadsheet, and pictures.

Neither says what the map has at a sample: whoever knows it sees it.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from PIL import Image, ImageDraw

from geoseg.assessment.design import Design, Sample
from geoseg.errors import OutputOccupiedError
from geoseg.outputs.exports import keep_style
from geoseg.outputs.files import output_errors, whole_file
from geoseg.outputs.geodesy import Geodesy, to_grid
from geoseg.outputs.preview import encoded

GPKG, CSV, CHIPS = "sample.gpkg", "sample.csv", "chips"
LAYER = "sample"

_CHIP_PX = 63  # odd: the sample is the one in the middle
_ENLARGED = 6

type Imagery = Callable[[slice, slice], NDArray[np.uint8] | None]


def write_sample(folder: Path, design: Design, imagery: Imagery | None = None) -> int:
    """Write what is to be labelled, and the design last.

    Args:
        folder: Made if it does not exist; must hold no other sample.
        design: The sample.
        imagery: RGB, uint8 (row, col, 3), of rows and columns of the map, which may reach beyond it; ``None`` where there
            is nothing to see.

    Returns:
        Number of pictures.

    Raises:
        OutputOccupiedError: If there is a sample: its labels may be.
        OutputError: If a file could not be written whole.
    """
    check_folder(folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pictures = _write_chips(folder, design, imagery) if imagery else {}
    places = _lonlat(design)
    with whole_file(folder / CSV) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("id", "longitude", "latitude", "label", "note", "chip"))
        for sample, (lon, lat) in zip(design.samples, places, strict=True):
            table.writerow((sample.id, lon, lat, "", "", pictures.get(sample.id, "")))
    _write_gpkg(folder, design, pictures)
    design.write(folder)
    return len(pictures)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds a sample.

    Raises:
        OutputOccupiedError: If it does.
    """
    there = [name for name in (CSV, GPKG, "sample.json") if (folder / name).exists()]
    if there:
        raise OutputOccupiedError(
            f"--out {folder}, where {there[0]} is",
            "a folder without a sample, whose labels might be lost",
            "name another",
        )


def _lonlat(design: Design) -> list[tuple[str, str]]:
    """Middles of the samples in degrees, to a centimetre; empty without a CRS."""
    if design.grid.crs is None:
        return [("", "")] * len(design.samples)
    geodesy = Geodesy(CRS(design.grid.crs), Affine(*design.grid.transform))
    middles = np.array([(one.col + 0.5, one.row + 0.5) for one in design.samples])
    return [(f"{lon:.7f}", f"{lat:.7f}") for lon, lat in geodesy.points(middles)]


def _write_gpkg(folder: Path, design: Design, pictures: dict[int, str]) -> None:
    rows = design.samples
    corners = np.array([(one.col, one.row) for one in rows], float)
    outlines = to_grid(shapely.box(*corners.T, *(corners + 1).T), Affine(*design.grid.transform))
    frame = gpd.GeoDataFrame(
        {
            "id": np.array([one.id for one in rows], np.int32),
            "label": np.array([None] * len(rows), object),
            "note": np.array([None] * len(rows), object),
            "chip": np.array([pictures.get(one.id) for one in rows], object),
        },
        geometry=outlines,
        crs=design.grid.crs,
    )
    with whole_file(folder / GPKG) as temporary:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # rows and columns may be the place
            frame.to_file(temporary, layer=LAYER, driver="GPKG", engine="pyogrio")
        _keep_form(temporary, design)


def _keep_form(path: Path, design: Design) -> None:
    """A form for QGIS, which takes it from the file: labels are chosen from a list."""
    root = ET.Element("qgis", styleCategories="Fields|Forms")
    configured = ET.SubElement(ET.SubElement(root, "fieldConfiguration"), "field", name="label")
    config = ET.SubElement(ET.SubElement(configured, "editWidget", type="ValueMap"), "config")
    names = ET.SubElement(ET.SubElement(config, "Option", type="Map"), "Option", type="List", name="map")
    for one in design.classes:
        ET.SubElement(
            ET.SubElement(names, "Option", type="Map"), "Option", type="QString", name=one.name, value=one.name
        )
    form = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ET.tostring(root, encoding="unicode")
    keep_style(path, form, LAYER, ("labels", "labels of the sample"))


def _write_chips(folder: Path, design: Design, imagery: Imagery) -> dict[int, str]:
    """Pictures around the samples; id to the name of the file."""
    made = {}
    for sample in design.samples:
        rows, cols = _around(sample)
        pixels = imagery(rows, cols)
        if pixels is None:
            continue
        name = f"{CHIPS}/{sample.id:05d}.png"
        with output_errors(folder / name):
            (folder / CHIPS).mkdir(exist_ok=True)
        with whole_file(folder / name) as temporary:
            temporary.write_bytes(encoded(_framed(pixels), "PNG"))
        made[sample.id] = name
    return made


def _around(sample: Sample) -> tuple[slice, slice]:
    half = _CHIP_PX // 2
    return slice(sample.row - half, sample.row + half + 1), slice(sample.col - half, sample.col + half + 1)


def _framed(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture enlarged, with a frame around the sample."""
    picture = Image.fromarray(pixels).resize((_CHIP_PX * _ENLARGED,) * 2, Image.Resampling.NEAREST)
    start = _CHIP_PX // 2 * _ENLARGED
    draw = ImageDraw.Draw(picture)
    for gap, colour in ((1, "black"), (2, "yellow"), (3, "yellow"), (4, "black")):
        draw.rectangle(
            (start - gap, start - gap, start + _ENLARGED - 1 + gap, start + _ENLARGED - 1 + gap), outline=colour
        )
    return picture
