"""The demo on disk: a static STAC catalogue of generated scenes, with a region, a DEM, a UAV flight and truth."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.warp import transform as transform_points
from shapely.geometry import Polygon

from geoseg.demo import classes as c
from geoseg.demo import stac
from geoseg.demo.change import make_later
from geoseg.demo.landscape import Landscape, make_landscape
from geoseg.demo.rasters import RasterFacts, write_cog
from geoseg.demo.scenes import FINE_BANDS, LATER_PASSES, Acquisition, DemoScenes, swath_edge
from geoseg.demo.terrain import PIXEL_M
from geoseg.demo.uav import UAV_PIXEL_M, make_uav

CRS = "EPSG:32760"
UAV_CRS = "EPSG:2193"
# Upper left corner in metres: a place in New Zealand's North Island where two real MGRS squares overlap, chosen so
# that seven by five cells of 256 px, counted from the origin of the CRS, fit inside.
LEFT_M, TOP_M = 391_160, 5_583_660
SHAPE = (1340, 2000)
UAV_SHAPE = (1800, 1500)
# Share of the width that each footprint takes; together they leave an overlap of 240 px at the full size.
_FOOTPRINT = 0.56
_SQUARES = ("60GUA", "60GVA")


@dataclass(frozen=True, slots=True)
class DemoCatalog:
    """Paths of what :func:`write_demo` wrote.

    Attributes:
        folder: Where everything lies.
        catalog: ``catalog.json``, the root of the static STAC catalogue.
        items: The items' files, in order of time and place.
        region: ``region.geojson``, EPSG:4326.
        dem: ``dem.tif``, metres.
        truth: ``truth/landcover.tif``, on the scenes' 10 m grid.
        uav: ``uav/orthomosaic.tif``, RGBA.
        uav_truth: ``truth/uav.tif``, on the orthomosaic's grid.
        change_truth: ``truth/change.tif``, what became of the land by the last date, on the scenes' 10 m grid; ``None``
            where there is no later date.
    """

    folder: Path
    catalog: Path
    items: tuple[Path, ...]
    region: Path
    dem: Path
    truth: Path
    uav: Path
    uav_truth: Path
    change_truth: Path | None = None


def write_demo(
    folder: Path,
    seed: int = 7,
    *,
    shape: tuple[int, int] = SHAPE,
    uav_shape: tuple[int, int] = UAV_SHAPE,
    later: bool = False,
) -> DemoCatalog:
    """Write the demo: the same seed and shape give the same pixels.

    Args:
        folder: Folder to write into; made if it does not exist, files of the same names are replaced.
        seed: Which landscape.
        shape: Rows and columns at 10 m of the whole area, even, at least 128 each. Smaller ones are for tests.
        uav_shape: Rows and columns of the orthomosaic, at least 256 each.
        later: Add a scene of two years later, when part of the land is another one, and the truth of that.

    Returns:
        Where the parts lie.

    Raises:
        ValueError: If a shape is odd or too small.
    """
    scenes = DemoScenes(make_landscape(seed, shape))
    then = make_later(scenes.landscape) if later else None
    items = list(_write_items(folder, scenes))
    if then is not None:
        items += _write_items(folder, DemoScenes(then.landscape, LATER_PASSES, len(scenes.passes)))
    done = DemoCatalog(
        folder=folder,
        catalog=folder / "catalog.json",
        items=tuple(items),
        region=folder / "region.geojson",
        dem=folder / "dem.tif",
        truth=folder / "truth" / "landcover.tif",
        uav=folder / "uav" / "orthomosaic.tif",
        uav_truth=folder / "truth" / "uav.tif",
        change_truth=folder / "truth" / "change.tif" if later else None,
    )
    stac.write_tree(folder, done.items)
    stac.write_json(done.region, region_feature(shape))
    _write_ground(done, scenes.landscape)
    if then is not None and done.change_truth is not None:
        facts = RasterFacts(CRS, grid_transform(), c.NODATA, ("change",), classes=c.CHANGE, overview="mode")
        write_cog(done.change_truth, then.change, facts)
    _write_uav(done, seed, scenes.landscape, uav_shape)
    return done


def region_outline(shape: tuple[int, int] = SHAPE) -> Polygon:
    """The demo's region in metres of :data:`CRS`: most of the scenes, with its corners cut."""
    rows, cols = shape
    # (row, column) as shares of the height and width; near enough to the rim for 30 whole cells at the full size.
    ring = [
        (0.016, 0.052), (0.013, 0.40), (0.017, 0.80), (0.02, 0.915), (0.13, 0.945), (0.55, 0.952), (0.90, 0.947),
        (0.984, 0.90), (0.987, 0.45), (0.982, 0.07), (0.91, 0.021), (0.40, 0.018), (0.10, 0.022),
    ]  # fmt: skip
    return Polygon([(LEFT_M + col * cols * PIXEL_M, TOP_M - row * rows * PIXEL_M) for row, col in ring])


def region_feature(shape: tuple[int, int] = SHAPE) -> dict[str, Any]:
    """The demo's region as GeoJSON in longitude and latitude."""
    feature = {
        "type": "Feature",
        "id": "demo-region",
        "properties": {"name": "Demo valley", "note": "generated; no such place exists"},
        "geometry": stac.lonlat_geometry(region_outline(shape), CRS),
    }
    return {"type": "FeatureCollection", "features": [feature]}


def grid_transform(resolution_m: float = PIXEL_M, first_col: int = 0) -> Affine:
    """Affine of the scenes' grid at a resolution; ``first_col`` counts pixels of 10 m."""
    return Affine(resolution_m, 0.0, LEFT_M + first_col * PIXEL_M, 0.0, -resolution_m, float(TOP_M))


def footprints(shape: tuple[int, int] = SHAPE) -> tuple[tuple[str, slice], ...]:
    """The two overlapping squares: name and columns at 10 m (even numbers)."""
    width = round(_FOOTPRINT * shape[1] / 2) * 2
    return (_SQUARES[0], slice(0, width)), (_SQUARES[1], slice(shape[1] - width, shape[1]))


def _write_items(folder: Path, scenes: DemoScenes) -> Iterator[Path]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        for acquisition in scenes.acquisitions():
            for square, columns in footprints(scenes.landscape.shape):
                item = stac.item_name(acquisition.overpass, square)
                home = folder / stac.COLLECTION / item
                home.mkdir(parents=True, exist_ok=True)
                list(pool.map(lambda job: write_cog(*job), _asset_files(home, acquisition, columns)))
                path = home / f"{item}.json"
                stac.write_json(path, _item(acquisition, square, columns, scenes.landscape.shape))
                yield path


def _asset_files(
    home: Path, acquisition: Acquisition, columns: slice
) -> Iterator[tuple[Path, NDArray[Any], RasterFacts]]:
    half = slice(columns.start // 2, columns.stop // 2)
    for band, numbers in acquisition.numbers.items():
        fine = band in FINE_BANDS
        transform = grid_transform(PIXEL_M if fine else 2 * PIXEL_M, columns.start)
        yield home / f"{band}.tif", numbers[:, columns if fine else half], RasterFacts(CRS, transform, 0, (band,))
    transform = grid_transform(2 * PIXEL_M, columns.start)
    yield home / "SCL.tif", acquisition.scl[:, half], RasterFacts(CRS, transform, 0, ("SCL",), overview="mode")


def _item(acquisition: Acquisition, square: str, columns: slice, shape: tuple[int, int]) -> dict[str, Any]:
    rows = shape[0]
    left, right = (LEFT_M + col * PIXEL_M for col in (columns.start, columns.stop))
    bottom = TOP_M - rows * PIXEL_M
    outline = Polygon([(left, TOP_M), (right, TOP_M), (right, bottom), (left, bottom)])
    if acquisition.overpass.has_edge:
        (row0, col0), (row1, col1) = swath_edge(shape)
        upper, lower = (
            (LEFT_M + col0 * PIXEL_M, TOP_M - row0 * PIXEL_M),
            (LEFT_M + col1 * PIXEL_M, TOP_M - row1 * PIXEL_M),
        )
        far = LEFT_M + shape[1] * PIXEL_M
        outline = outline.intersection(Polygon([upper, (far, TOP_M), (far, bottom), lower]))
    half = slice(columns.start // 2, columns.stop // 2)
    frame = stac.Frame(
        square=square,
        crs=CRS,
        outline=outline,
        shape=(rows, columns.stop - columns.start),
        transform=grid_transform(PIXEL_M, columns.start),
    )
    return stac.make_item(acquisition.overpass, frame, acquisition.scl[:, half])


def _write_ground(done: DemoCatalog, landscape: Landscape) -> None:
    done.truth.parent.mkdir(parents=True, exist_ok=True)
    facts = RasterFacts(CRS, grid_transform(), c.NODATA, ("land cover",), classes=c.LANDCOVER, overview="mode")
    write_cog(done.truth, landscape.truth, facts)
    relief = np.round(landscape.terrain.elevation_m, 2).astype(np.float32)
    write_cog(done.dem, relief, RasterFacts(CRS, grid_transform(), -9999.0, ("elevation in metres",)))


def _write_uav(done: DemoCatalog, seed: int, landscape: Landscape, shape: tuple[int, int]) -> None:
    done.uav.parent.mkdir(parents=True, exist_ok=True)
    scene = make_uav(seed, shape)
    # The flight lies at the edge of the largest town, on its own country's grid.
    row, col = landscape.settlements.places[0] if len(landscape.settlements.places) else np.array(landscape.shape) // 2
    xs, ys = transform_points(CRS, UAV_CRS, [LEFT_M + (col + 60) * PIXEL_M], [TOP_M - row * PIXEL_M])
    transform = Affine(UAV_PIXEL_M, 0.0, round(xs[0], 1), 0.0, -UAV_PIXEL_M, round(ys[0], 1))
    alpha = np.where(scene.flown, np.uint8(255), np.uint8(0))
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    facts = RasterFacts(UAV_CRS, transform, None, ("red", "green", "blue", "alpha"), colours)
    write_cog(done.uav, np.concatenate([scene.rgb, alpha[None]]), facts, block_px=512)
    facts = RasterFacts(UAV_CRS, transform, c.NODATA, ("land cover",), classes=c.UAV, overview="mode")
    write_cog(done.uav_truth, scene.truth, facts, block_px=512)
