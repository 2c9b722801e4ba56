"""What a run gives back in Python: lazy arrays of the files, polygons, the item, and a map in a notebook."""

from __future__ import annotations

from pathlib import Path

import dask
import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import worlds
from odc.geo.geobox import GeoBox

import geoseg
from geoseg import result as room


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> geoseg.Result:
    folder = tmp_path_factory.mktemp("result")
    image = worlds.landscape((90, 130), 3).astype("uint8")
    image[:, :20, :30] = 0
    scene = worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS, nodata=0)
    model = worlds.finite_model(folder / "model")
    return geoseg.run(scenes=(str(scene),), model=str(model.path), out=folder / "map", cache=folder / "cache")


@pytest.mark.parametrize("name", ["classes", "confidence"])
def test_arrays_are_the_files_lazy_and_with_their_place(finished, name):
    array = getattr(geoseg.Result.open(finished.out), name)
    assert dask.is_dask_collection(array.data), "nothing is read before it is asked for"
    assert array.dtype == np.uint8
    assert array.dims == ("y", "x")
    with rasterio.open(finished.out / f"{name}.tif") as file:
        assert np.array_equal(array.values, file.read(1))
        assert array.odc.geobox == GeoBox(file.shape, file.transform, file.crs)
        assert array.odc.crs == file.crs
    assert array.odc.nodata == 255
    assert len(np.unique(array)) > 2


def test_a_part_of_an_array_is_that_part_of_the_file(finished, monkeypatch):
    """In chunks much smaller than the map, whose last ones are cut."""
    monkeypatch.setattr(room, "_CHUNK_PX", 37)
    array = geoseg.Result.open(finished.out).classes
    assert array.data.numblocks == (3, 4)
    whole = worlds.read(finished.out / "classes.tif")
    assert np.array_equal(array[30:80, 70:130].values, whole[30:80, 70:130])
    assert np.array_equal(array.values, whole)


def test_an_array_survives_the_file_being_made_elsewhere(finished):
    """A lazy array names the file; it holds no open handle that a process could not send to another."""
    import cloudpickle

    array = cloudpickle.loads(cloudpickle.dumps(geoseg.Result.open(finished.out).classes))
    assert np.array_equal(array.values, worlds.read(finished.out / "classes.tif"))


def test_polygons_are_a_table_in_the_crs_of_the_map(finished):
    polygons = finished.polygons
    assert isinstance(polygons, geopandas.GeoDataFrame)
    assert polygons.crs == "EPSG:32633"
    assert len(polygons) == finished.report["polygons"]["count"] > 0
    classes = worlds.read(finished.out / "classes.tif")
    assert polygons.area.sum() == pytest.approx((classes < 254).sum() * 100)
    for index, group in polygons.groupby("class"):
        assert group.area.sum() == pytest.approx((classes == index).sum() * 100)


def test_the_item_is_a_stac_item_whose_assets_are_there(finished):
    item = finished.item
    assert isinstance(item, pystac.Item)
    for asset in item.assets.values():
        assert Path(pystac.utils.make_absolute_href(asset.href, item.get_self_href())).is_file()


def test_a_result_is_opened_again_from_its_folder(finished):
    again = geoseg.Result.open(str(finished.out))
    assert again == finished
    assert again.report["grid"]["shape"] == [90, 130]


def test_a_result_says_in_a_line_what_it_is(finished):
    line = repr(geoseg.Result.open(finished.out))
    assert str(finished.out) in line
    assert len(line) < 300
    shares = {row["index"]: row["share"] for row in finished.report["areas"] if row["feature"] == "all"}
    largest = max(shares, key=lambda index: shares[index])
    name = finished.report["classes"][largest]["name"]
    assert f"{name} {100 * shares[largest]:.1f} %" in line
    assert line.endswith("failed 0 %>")
    pixels = {**finished.report["pixels"], "aoi": 200, "failed": {"read": 3, "model": 1}}
    assert "failed 2.0 %" in repr(geoseg.Result(finished.out, {**finished.report, "pixels": pixels}))
    assert str(finished.out) in repr(geoseg.Result(finished.out, {}))


def test_opening_a_result_reads_neither_rasters_nor_tables(finished):
    """Each is read when it is first asked for, and once."""
    again = geoseg.Result.open(finished.out)
    assert set(vars(again)) == {"out", "report"}
    assert again.classes is again.classes
    assert again.polygons is again.polygons
