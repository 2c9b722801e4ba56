"""Where a source's window and the grid that it is read onto lie in each other."""

from __future__ import annotations

from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from geoseg.grid import Lattice
from geoseg.load.kept import Roi

# Source pixels around the destination that a resampling kernel may touch (cubic needs 2; the rest is for rotation).
KERNEL_PAD_PX = 3

# Any projected CRS: pixels stand for its metres, and nothing is projected.
_PIXELS = "EPSG:3857"
# Grids that fit together do so at multiples of this share of a pixel.
_FRACTIONS = 3600


def _wkt(geobox: GeoBox) -> str:
    assert geobox.crs is not None  # noqa: S101  # rasters without a CRS are refused before anything is read
    return geobox.crs.to_wkt()


def padded(roi: Roi, shape: tuple[int, int]) -> Roi:
    """A window grown by what a kernel may touch, within the raster."""
    rows, cols = (
        slice(max(0, part.start - KERNEL_PAD_PX), min(size, part.stop + KERNEL_PAD_PX))
        for part, size in zip(roi, shape, strict=True)
    )
    return rows, cols


def paste_rois(source: GeoBox, target: GeoBox) -> tuple[Roi, Roi] | None:
    """Equal parts of source and target when both lie on one lattice, so that pixels are read untouched.

    The test looks at the whole source and so gives the same answer for every cut of the target.
    """
    lattice = Lattice.from_geobox(target)
    source_window, target_window = lattice.window_of(source), lattice.window_of(target)
    if source_window is None or target_window is None:
        return None
    shared = source_window & target_window
    if not shared:
        return (slice(0, 0), slice(0, 0)), (slice(0, 0), slice(0, 0))
    return shared.within(source_window), shared.within(target_window)


def places(source: GeoBox, target: GeoBox) -> dict[str, Any]:
    """Where both grids lie: options of ``rasterio.warp.reproject``.

    Within one CRS the source's own pixels are the coordinates. Millions of metres would leave an error of 1e-8 pixels
    that depends on the cut, and decides where a target pixel ends exactly between two source pixels.
    """
    if source.crs != target.crs:
        return {
            "src_transform": source.transform,
            "src_crs": _wkt(source),
            "dst_transform": target.transform,
            "dst_crs": _wkt(target),
        }
    upright = Affine.scale(1024, -1024)  # GDAL takes pixels of size 1 at (0, 0) for no georeference
    relative = ~source.transform @ target.transform
    a, b, c, d, e, f = relative[:6]
    placed = Affine(a, b, _even(c), d, e, _even(f))
    return {
        "src_transform": upright,
        "src_crs": _PIXELS,
        "dst_transform": upright @ placed,
        "dst_crs": _PIXELS,
    }


def _even(pixels: float) -> float:
    """The common fraction of a pixel that is meant, where there is one: halves, thirds, hundredths."""
    fraction = round(pixels * _FRACTIONS) / _FRACTIONS
    return fraction if abs(pixels - fraction) < 1e-6 else pixels


def outline(geobox: GeoBox) -> GeoBox:
    """The same area as a single pixel."""
    rows, cols = geobox.shape
    return GeoBox((1, 1), geobox.transform @ Affine.scale(cols, rows), geobox.crs)
