"""Numbers that are not what metadata says: cases 39 and 40, through whole runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import geoseg
from geoseg.demo import DemoCatalog, write_demo
from geoseg.errors import InputsContradictError, RequestError

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
NAMES = ("B02", "B03", "B04", "B08", "B11", "B12")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    """Two squares on three dates, 256 x 384 pixels in all."""
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(256, 256))


def clear_item(demo: DemoCatalog) -> Path:
    """The least cloudy of the items that carry the offset."""
    documents = {path: json.loads(path.read_text()) for path in demo.items}
    late = {path: d for path, d in documents.items() if d["properties"]["s2:processing_baseline"] >= "04.00"}
    return min(late, key=lambda path: late[path]["properties"]["eo:cloud_cover"])


def copy_of(demo: DemoCatalog, folder: Path, shift: int, flags: dict[str, Any], offset: float | None) -> Path:
    """One item of the demo with its numbers moved so that zero reflectance is ``shift``, and other flags.

    Reflectance is the same for each shift: what would be negative is taken as 0.0001 first.
    """
    source = clear_item(demo)
    document = json.loads(source.read_text())
    folder.mkdir(parents=True)
    for name, asset in document["assets"].items():
        old = (source.parent / asset["href"]).resolve()
        new = folder / f"{name}.tif"
        asset["href"] = str(new)
        if name not in BANDS:
            shutil.copyfile(old, new)
            continue
        with rasterio.open(old) as file:
            raw = file.read(1).astype("int64")
            place = {"crs": file.crs, "transform": file.transform, "height": file.height, "width": file.width}
        moved = np.where(raw == 0, 0, np.maximum(raw - 1000, 1) + shift).astype("uint16")
        with rasterio.open(new, "w", driver="GTiff", count=1, dtype="uint16", nodata=0, **place) as file:
            file.write(moved, 1)
        for band in asset.get("raster:bands", []):
            band.pop("offset", None)
            if offset is not None:
                band["offset"] = offset
    for name in ("s2:processing_baseline", "earthsearch:boa_offset_applied"):
        document["properties"].pop(name, None)
    document["properties"] |= flags
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path


def classes(demo: DemoCatalog, item: Path, out: Path, **options: Any) -> np.ndarray:
    result = geoseg.run(
        aoi=str(demo.region), catalog=str(item), workflow="demo", out=out, cache=out.parent / "cache", **options
    )
    with rasterio.open(result.out / "classes.tif") as file:
        return file.read(1)


APPLIED = {"s2:processing_baseline": "04.00", "earthsearch:boa_offset_applied": True}
CASES = {
    "carried, right": (1000, {"s2:processing_baseline": "04.00"}, None),
    "carried, right by its bands": (1000, {}, -0.1),
    "carried, wrong": (1000, APPLIED, -0.1),
    "carried, missing": (1000, {}, None),
    "gone, right": (0, APPLIED, -0.1),
    "gone, wrong": (0, {"s2:processing_baseline": "04.00"}, None),
    "gone, missing": (0, {}, None),
}
STOPPED = {"carried, wrong", "carried, missing", "gone, wrong"}


@pytest.mark.slow
@pytest.mark.fault(40)
def test_fault_40_equal_classes_or_a_stop_that_says_why(demo: DemoCatalog, tmp_path: Path) -> None:
    maps = {}
    for number, (case, (shift, flags, offset)) in enumerate(CASES.items()):
        item = copy_of(demo, tmp_path / f"item{number}", shift, flags, offset)
        if case not in STOPPED:
            maps[case] = classes(demo, item, tmp_path / f"map{number}")
            continue
        with pytest.raises(InputsContradictError) as stopped:
            classes(demo, item, tmp_path / f"map{number}")
        assert stopped.value.exit_code == 2
        assert json.loads(item.read_text())["id"] in stopped.value.given
        assert "--offset" in stopped.value.todo
        assert not (tmp_path / f"map{number}" / "classes.tif").exists()
        right = -shift / 10_000
        maps[f"{case}, stated"] = classes(demo, item, tmp_path / f"map{number}", offset=right)
    first, *others = maps.values()
    assert (first < 250).mean() > 0.3
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.fault(39)
def test_fault_39_fractions_taken_for_numbers_are_stopped_with_both_ranges(demo: DemoCatalog, tmp_path: Path) -> None:
    """The same scene as numbers and as fractions: a stop, and with the scale stated the same classes."""
    document = json.loads(clear_item(demo).read_text())
    folder = clear_item(demo).parent
    bands = []
    for name in BANDS:
        with rasterio.open((folder / document["assets"][name]["href"]).resolve()) as file:
            raw = file.read(1, out_shape=(128, 128)).astype("int64")
            bands.append(np.where(raw == 0, 0, np.maximum(raw - 1000, 1)))
            profile = {"crs": file.crs, "transform": file.transform}
    numbers = np.stack(bands).astype("uint16")
    paths = {}
    for kind, image in {"numbers": numbers, "fractions": numbers.astype("float32") / 10_000}.items():
        paths[kind] = tmp_path / f"{kind}.tif"
        shape = {"height": 128, "width": 128, "count": 6, "dtype": image.dtype, "nodata": 0}
        with rasterio.open(paths[kind], "w", driver="GTiff", **shape, **profile) as file:
            file.write(image)
            file.descriptions = NAMES
    common = {"model": "demo-landcover", "cache": tmp_path / "cache", "sensor": "sentinel-2-l2a"}
    plain = geoseg.run(scenes=paths["numbers"], out=tmp_path / "a", **common)
    with pytest.raises(InputsContradictError) as stopped:
        geoseg.run(scenes=paths["fractions"], out=tmp_path / "b", **common)
    assert stopped.value.exit_code == 2
    assert "-0.2 and 2" in stopped.value.expected
    assert "fractions" in stopped.value.given
    assert "--scale" in stopped.value.todo
    stated = geoseg.run(scenes=paths["fractions"], out=tmp_path / "b", scale=1.0, **common)
    maps = []
    for result in (plain, stated):
        with rasterio.open(result.out / "classes.tif") as file:
            maps.append(file.read(1))
    assert (maps[0] != maps[1]).mean() < 1e-3  # fractions were rounded to float32


@pytest.mark.fault(39)
def test_fault_39_sixteen_bits_are_no_image_of_eight(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(200, 4000, (3, 64, 64)).astype("uint16")
    path = tmp_path / "wide.tif"
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.1, 0, 500_000, 0, -0.1, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", height=64, width=64, count=3, dtype="uint16", **place) as file:
        file.write(image)
        file.descriptions = ("red", "green", "blue")
    with pytest.raises(RequestError) as stopped:
        geoseg.run(scenes=path, model="demo-uav", out=tmp_path / "map", cache=tmp_path / "cache")
    assert isinstance(stopped.value, InputsContradictError)
    assert "255" in stopped.value.expected
    assert "uint16" in stopped.value.given


@pytest.mark.fault(39)
def test_fault_39_an_image_stretched_to_eight_bits_is_no_reflectance(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(5, 250, (6, 64, 64)).astype("uint8")
    path = tmp_path / "stretched.tif"
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", height=64, width=64, count=6, dtype="uint8", **place) as file:
        file.write(image)
        file.descriptions = NAMES
    options = {"scenes": path, "model": "demo-landcover", "out": tmp_path / "map", "cache": tmp_path / "cache"}
    with pytest.raises(InputsContradictError) as stopped:
        geoseg.run(**options)
    assert stopped.value.exit_code == 2
    assert "uint8: 0.0255 at most" in stopped.value.given
    assert "-0.2 and 2" in stopped.value.expected
    assert "--scale" in stopped.value.todo
    assert geoseg.run(**options, scale=1 / 255, offset=0.0).report["pixels"]["failed"] == {}
