"""Small maps, and their polygons by GDAL."""

import datetime as dt
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import shape

from geoseg.outputs.areas import AreaTable
from geoseg.outputs.record import (
    AreaFacts,
    GridFacts,
    JobFacts,
    PixelCounts,
    PolygonCounts,
    Record,
    RunSettings,
    Software,
    TileCounts,
    Timing,
)
from geoseg.outputs.record_parts import ClassFacts, ModelFacts, SceneFacts, SkippedScene


@dataclass(frozen=True)
class Class:
    index: int
    name: str
    colour: str
    code: int | None = None
    description: str = ""


@dataclass(frozen=True)
class Batch:
    geometry: np.ndarray
    class_index: np.ndarray
    pixels: np.ndarray
    confidence_mean: np.ndarray
    confidence_p10: np.ndarray
    first_pixel: np.ndarray
    split: np.ndarray

    @property
    def polygons(self):
        return outlines_of(self.geometry)

    def take(self, index):
        return Batch(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def outlines_of(geometry):
    """Shapely polygons as flat arrays."""
    _, vertices, offsets = shapely.to_ragged_array(geometry)
    rings, polygons = (part.astype(np.int64) for part in offsets)
    return SimpleNamespace(vertices=vertices, ring_offsets=rings, polygon_offsets=polygons)


def _polygons_of(pixels):
    found = [(shape(g), int(v)) for g, v in rasterio.features.shapes(pixels, mask=pixels < 254, connectivity=4)]
    outlines = np.array([g for g, _ in found], dtype=object)
    if len(found) == 0:
        outlines = np.zeros(0, object)
    values = np.array([v for _, v in found], np.uint8)
    inside = shapely.get_coordinates(shapely.point_on_surface(outlines)).astype(int).reshape(-1, 2)
    n = len(found)
    return Batch(
        outlines,
        values,
        shapely.area(outlines).astype(np.int64),
        np.linspace(40, 90, n),
        np.full(n, 33, np.uint8),
        (inside[:, 1] * pixels.shape[1] + inside[:, 0]).astype(np.int64),
        np.zeros(n, bool),
    )


@pytest.fixture(scope="session")
def polygons_of():
    """A function: the regions of a map in pixel coordinates, by GDAL."""
    return _polygons_of


@pytest.fixture
def legend():
    return (
        Class(0, "water", "#1a5bab", 80),
        Class(1, "trees & <b>", "#358221", 10),
        Class(7, "naïve", "#a59b8f", None),
    )


@pytest.fixture
def pixels():
    rng = np.random.default_rng(3)
    coarse = rng.choice(np.array([0, 1, 7, 254, 255], np.uint8), (9, 12))
    return np.kron(coarse, np.ones((5, 4), np.uint8))


@pytest.fixture
def geobox(pixels):
    return GeoBox(pixels.shape, Affine(10, 0, 500_000, 0, -10, 5_400_000), "EPSG:32633")


@pytest.fixture
def record(pixels, geobox, legend):
    return record_of(pixels, geobox, legend)


def record_of(pixels, geobox, legend, **changes):
    """A record that fits a map; every pixel of 255 counts as hidden, every one of 254 as timed out."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    table = AreaTable(geobox, legend)
    table.add(slice(0, pixels.shape[0]), slice(0, pixels.shape[1]), pixels)
    areas = tuple(
        AreaFacts(
            feature=r.feature,
            index=r.index,
            pixels=r.pixels,
            area_m2=r.area_m2,
            area_m2_planar=r.area_m2_planar,
            share=r.share,
        )
        for r in table.rows()
    )
    facts = {
        "job": JobFacts(key="k0ffee", workflow="landcover", spec={"aoi": "region.geojson"}, title="Brenner & Söhne"),
        "software": Software(geoseg="0.1.0", python="3.12.3", libraries={"rasterio": "1.5.2"}),
        "settings": RunSettings(
            device="cpu",
            backend="torch",
            precision="exact",
            threads_per_pass=2,
            workers=1,
            max_memory_bytes=4_000_000_000,
            peak_memory_bytes=1_234_000_000,
        ),
        "timing": Timing.measured(
            dt.datetime(2026, 11, 20, 9, 0, tzinfo=dt.UTC), 271.0, {"search": 1.5, "predict": 260.0}, pixels.size
        ),
        "grid": GridFacts(
            crs="EPSG:32633",
            transform=tuple(geobox.transform)[:6],
            shape=pixels.shape,
            pixel_size=(10.0, 10.0),
            unit="metre",
            anchor=(-540_000, 50_000),
            cell_px=256,
            tile_px=1024,
            stride_px=16,
            halo_px=64,
        ),
        "model": ModelFacts(
            name="lc-tiny",
            title="Tiny land cover",
            kind="finite",
            sha256="ab" * 32,
            spec_sha256="cd" * 32,
            licence="CC-BY-4.0",
            attribution="Made by somebody",
            href="https://models.example/lc-tiny/item.json",
        ),
        "classes": tuple(
            ClassFacts(index=c.index, name=c.name, colour=c.colour, code=c.code, description=c.description)
            for c in legend
        ),
        "scenes": (
            SceneFacts(
                id="S2A_33UXP_20250612",
                datetime=dt.datetime(2025, 6, 12, 10, 0, tzinfo=dt.UTC),
                platform="sentinel-2a",
                collection="sentinel-2-l2a",
                licence="proprietary",
                cloud_cover_percent=3.2,
                item_hrefs=("https://user:secret-canary@stac.example/items/a?sig=secret-canary",),
                share=0.75,
                notes=("offset of -1000 applied",),
            ),
            SceneFacts(
                id="S2B_33UXP_20250702",
                datetime=dt.datetime(2025, 7, 2, 10, 0, tzinfo=dt.UTC),
                platform="sentinel-2b",
                collection="sentinel-2-l2a",
                licence="proprietary",
                cloud_cover_percent=21,
                share=0.25,
            ),
        ),
        "scenes_skipped": (SkippedScene(id="S2B_33UXP_20250722", reason="clouds cover 97 % of it"),),
        "tiles": TileCounts(total=4, computed=3, reused=1),
        "pixels": PixelCounts(
            total=pixels.size,
            outside_aoi=0,
            aoi=pixels.size,
            classified=int(counts[:254].sum()),
            per_class={c.index: int(counts[c.index]) for c in legend},
            nodata_unobserved=0,
            nodata_masked=int(counts[255]),
            failed={"time-out": int(counts[254])},
        ),
        "areas": areas,
        "polygons": PolygonCounts(count=12),
        "notes": ("The model was trained on Level-1C and ran on Level-2A.",),
    }
    return Record(**(facts | changes))
