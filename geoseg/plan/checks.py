"""What is refused of a region before scenes are searched, or before tiles are counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoseg.aoi import AOI, Bounds, bounds_round_the_globe, box_in_words, split_bounds
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.grid import Lattice, Window, poles_of
from geoseg.remote import is_remote, unsigned

# Scenes reach past the zone of their CRS, and a little distortion is better than a refusal.
_SPARE_LON, _SPARE_LAT = 3.0, 1.0
_POLE = 90.0 - 1e-6


def check_area(aoi: AOI, tile_m: float, max_area_km2: float) -> None:
    """Refuse a region by its area.

    Args:
        aoi: The region.
        tile_m: Side of a tile on the ground, by the pixel size that the model expects.
        max_area_km2: The limit.

    Raises:
        RequestError: If it is larger.
    """
    area = aoi.area_km2
    if area > max_area_km2:
        tiles = max(1, round(area * 1e6 / tile_m**2))
        raise RequestError(
            f"a region of {area:,.0f} km2, some {tiles:,} tiles of {tile_m / 1e3:.3g} km: {box_in_words(aoi.bounds)}",
            f"at most {max_area_km2:,.0f} km2",
            f"ask for a smaller region, or raise the limit with --max-area {_rounded(area)} (GEOSEG_MAX_AREA_KM2)",
        )


def check_pixels(window: Window, tile_px: int, max_pixels: int, scenes: int = 0) -> None:
    """Refuse a map by its pixels.

    Args:
        window: Of the map.
        tile_px: Side of a tile.
        max_pixels: The limit.
        scenes: So many, where the map is the box around them for want of a region.

    Raises:
        RequestError: If it has more.
    """
    if window.size_px > max_pixels:
        rows, cols = window.shape
        tiles = max(1, round(window.size_px / tile_px**2))
        around = (
            "" if not scenes else ", the box around the scene" if scenes == 1 else f", the box around {scenes} scenes"
        )
        smaller = "name a region with --aoi, fewer scenes" if scenes else "ask for a smaller region"
        raise RequestError(
            f"a map of {cols:,} x {rows:,} pixels, up to {tiles:,} tiles{around}",
            f"at most {max_pixels:,} pixels",
            f"{smaller} or larger pixels (--resolution), or raise the limit with --max-pixels "
            f"{_rounded(window.size_px)} (GEOSEG_MAX_PIXELS)",
        )


def check_corners(geobox: GeoBox) -> None:
    """Refuse a map that reaches past what its CRS can place on the Earth.

    Args:
        geobox: The grid; without a CRS there is nothing to refuse.

    Raises:
        RequestError: If one of its corners has no longitude and latitude.
    """
    if geobox.crs is None:
        return
    rows, cols = geobox.shape
    xs, ys = zip(*(geobox.transform @ corner for corner in ((0, 0), (cols, 0), (cols, rows), (0, rows))), strict=True)
    south, north = poles_of(geobox.crs)
    pixel = abs(geobox.transform.d) + abs(geobox.transform.e)
    ys = tuple(min(max(y, south), north) if south - pixel <= y <= north + pixel else math.inf for y in ys)
    lonlat = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(xs, ys)
    if not all(map(math.isfinite, chain(*lonlat))):
        raise RequestError(
            f"a map of {cols:,} x {rows:,} pixels of {abs(geobox.transform.a):g} in {geobox.crs}, "
            "with corners that lie on no place of the Earth",
            "a map whose corners have a longitude and a latitude",
            "ask for smaller pixels (--resolution), another CRS (--crs) or a region (--aoi)",
        )


def check_resolution(size: float, allowed_m: tuple[float, float] | None, model: str) -> None:
    """Refuse pixels far from what the model was made for.

    Raises:
        ModelMismatchError: If the pixel size is outside the range.
    """
    if allowed_m is not None and not allowed_m[0] * 0.99 <= size <= allowed_m[1] * 1.01:
        raise ModelMismatchError(
            f"pixels of {size:.3g} m for the model {model}",
            f"pixels of {allowed_m[0]:g} to {allowed_m[1]:g} m",
            "set --resolution, or choose a model for this kind of image",
        )


def check_offline(references: Sequence[str], *, offline: bool) -> None:
    """Refuse what would have to be asked for over a network.

    Args:
        references: Paths and addresses of a catalogue, of rasters or of assets.
        offline: Whether nothing may be fetched; else nothing is refused.

    Raises:
        RequestError: If one of them is an address.
    """
    asked = next(filter(is_remote, references), None)
    if offline and asked is not None:
        raise RequestError(
            f"--offline with {unsigned(asked)}",
            "a catalogue and files of this machine: nothing is fetched (GEOSEG_OFFLINE)",
            "name files with --scenes or a catalogue on disk with --catalog PATH, or leave out --offline",
        )


def _rounded(least: float) -> str:
    """A number a little above another one, in two digits."""
    step = 10 ** max(0, len(str(int(least))) - 2)
    return str((int(least) // step + 1) * step)


def check_area_of_use(aoi: AOI, crs: CRS, *, goes_on: bool = False) -> None:
    """Refuse a region that a CRS is not made for, or that it cuts in two.

    Args:
        aoi: The region.
        crs: Of the map.
        goes_on: Whether the map's grid goes on past the 180th meridian.

    Raises:
        RequestError: With a CRS that fits.
    """
    use = crs.proj.area_of_use
    if use is not None and not _fits(aoi.geometry, crs):
        west, south, east, north = use.bounds
        pole = " and a pole" if _has_pole(aoi.geometry) else ""
        raise RequestError(
            f"a region in {box_in_words(aoi.bounds)}{pole}, for a map in {name_of(crs)}",
            f"a region within the area of use of {name_of(crs)}: {box_in_words((west, south, east, north))} ({use.name})",
            f"set --crs {fitting_crs(aoi.geometry)}, or check the coordinates of the region",
        )
    if not goes_on:
        check_uncut(aoi.geometry, crs, "a region")


def check_uncut(outline: shapely.Geometry, crs: CRS, what: str) -> None:
    """Refuse what crosses the 180th meridian where the CRS ends there: the map would go all round the globe.

    Args:
        outline: In degrees, -180 to 180.
        crs: Of the map.
        what: How the message calls it.

    Raises:
        RequestError: With a CRS that goes on.
    """
    bounds = bounds_round_the_globe(outline)
    if is_cut(bounds, crs):
        raise RequestError(
            f"{what} across the 180th meridian, where {name_of(crs)} ends: {box_in_words(bounds)}",
            "a CRS whose map goes on there",
            f"set --crs {fitting_crs(outline)} (and --resolution in its units), or scenes of one side",
        )


def check_placed(geometry: shapely.Geometry, lattice: Lattice) -> None:
    """Refuse a region that has no finite place in a CRS.

    Raises:
        RequestError: If it has none.
    """
    if not all(math.isfinite(edge) for edge in geometry.bounds):
        raise RequestError(
            f"a region that has no place in {name_of(lattice.crs)}",
            "a region within the CRS of the map",
            "set --crs to one made for the region, or check its coordinates",
        )


def name_of(crs: CRS) -> str:
    """A CRS in a few words: its code, or its name."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.proj.name)


def fitting_crs(outline: shapely.Geometry) -> str:
    """A CRS in metres that an outline in degrees lies well within: the UTM zone of its middle where that is wide enough."""
    bounds = bounds_round_the_globe(outline)
    fitting = (name for name in _candidates(bounds) if _fits(outline, CRS(name)) and not is_cut(bounds, CRS(name)))
    return next(fitting, "EPSG:6933")


def _candidates(bounds: Bounds) -> Iterator[str]:
    west, south, east, north = bounds
    middle = west + ((east - west) % 360) / 2
    zone = int((middle + 180) % 360 // 6) + 1
    yield f"EPSG:{32600 + zone if south + north >= 0 else 32700 + zone}"
    yield "EPSG:6933"  # equal area, the globe but for the poles
    yield "EPSG:3832"  # the Pacific
    yield "EPSG:3413"  # north of 60 N
    yield "EPSG:3031"  # south of 60 S


def _has_pole(outline: shapely.Geometry) -> bool:
    _, south, _, north = outline.bounds
    return bool(south <= -_POLE or north >= _POLE)


def _fits(outline: shapely.Geometry, crs: CRS) -> bool:
    use = crs.proj.area_of_use
    if use is None:
        return True
    _, south, _, north = use.bounds
    if _has_pole(outline) and not (crs.geographic or north >= _POLE or south <= -_POLE):
        return False
    area = area_to_use(crs)
    return area is None or bool(outline.difference(area).area <= 0)


def area_to_use(crs: CRS) -> shapely.Geometry | None:
    """Where a CRS is used, in degrees, with some to spare and a turn on either side; ``None`` if nobody says."""
    use = crs.proj.area_of_use
    if use is None:
        return None
    west, south, east, north = use.bounds
    boxes = [
        shapely.box(w - _SPARE_LON, south - _SPARE_LAT, e + _SPARE_LON, north + _SPARE_LAT)
        for part in split_bounds((west, south, east, north))
        for w, e in ((part[0] + turn, part[2] + turn) for turn in (-360, 0, 360))
    ]
    return shapely.union_all(boxes)


def is_cut(bounds: Bounds, crs: CRS) -> bool:
    """Whether a box crosses the 180th meridian, and a CRS has its two sides apart."""
    west, south, east, north = bounds
    if west <= east:
        return False
    to_crs = Transformer.from_crs("EPSG:4326", crs.proj, always_xy=True)
    lat = (south + north) / 2
    x, y = to_crs.transform([180 - 1e-6, -180 + 1e-6], [lat, lat])  # 20 cm apart at most
    return not abs(x[0] - x[1]) + abs(y[0] - y[1]) < 1
