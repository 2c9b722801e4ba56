"""What items claim about their files' pixel grids, against the files: the file wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import batched
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from geoseg.load import Rasters, reading
from geoseg.scenes import BandSource, Item
from geoseg.scenes.understand import claimed_geobox

# Headers of files on other machines are waited for, not computed.
_AT_ONCE, _LOOKED_AT_TOGETHER = 8, 4096
_TOLERANCE_PX = 1e-3
_CACHE_BYTES = 32 * 2**20


def with_true_grids(
    items: Sequence[Item], rasters: Rasters, most: int | None = None
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Items whose grids are those of their files, and a warning for each that claimed another.

    Of files on other machines one header of each item is read, and the others where that one differs. A file that
    cannot be opened contradicts nothing.

    Args:
        items: Items of a catalogue.
        rasters: Opens their files.
        most: So many items are looked at, spread over all, and the warnings say so; ``None`` for every one.
    """
    step = 1 if most is None else max(1, -(-len(items) // most))
    checked: list[tuple[Item, str]] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for some in batched(items[::step], _LOOKED_AT_TOGETHER):
            checked += pool.map(partial(_checked, rasters=rasters), some)
    believed, warnings = list(items), [warning for _, warning in checked if warning]
    believed[::step] = [item for item, _ in checked]
    if step > 1:
        warnings.append(f"{len(checked)} of {len(items):,} items were held against their files; a run looks at all")
    return tuple(believed), tuple(warnings)


def _checked(item: Item, rasters: Rasters) -> tuple[Item, str]:
    """An item with the grids of its files, and what was wrong before."""
    bands = list(item.sources)
    remote = any("://" in source.href for source in bands)
    wrong = _contradicted(item, bands[:1] if remote else bands, rasters)
    if remote and wrong:
        wrong |= _contradicted(item, bands[1:], rasters)
    if not wrong:
        return item, ""
    assets = {
        name: {**asset, **_projection(wrong[name])} if name in wrong else asset
        for name, asset in item.document["assets"].items()
    }
    document = {**item.document, "assets": assets}
    grids = [wrong.get(source.asset) or claimed_geobox(item.document, source.asset) for source in item.bands.values()]
    finest = min((g for g in grids if g is not None), key=lambda g: abs(g.transform.determinant))
    words = (
        f"{item.id} states another pixel grid than its files have ({', '.join(sorted(wrong))}): the files are believed"
    )
    return replace(item, document=document, geobox=finest), words


def _contradicted(item: Item, sources: Iterable[BandSource], rasters: Rasters) -> dict[str, GeoBox]:
    """Asset to the grid of its file, where the item states another."""
    found = {}
    for source in sources:
        claimed = claimed_geobox(item.document, source.asset)
        true = None if claimed is None else _grid_of_file(source.href, rasters)
        if claimed is not None and true is not None and not _same(claimed, true):
            found[source.asset] = true
    return found


def _grid_of_file(href: str, rasters: Rasters) -> GeoBox | None:
    """Pixel grid of a file that can be opened and has one."""
    try:
        with reading(_CACHE_BYTES), rasters.opened(href) as file:
            return GeoBox(file.shape, file.transform, file.crs) if file.crs else None
    except RasterioError:
        return None


def _same(claimed: GeoBox, true: GeoBox) -> bool:
    """Whether two grids are one, up to a thousandth of a pixel at the corners."""
    if claimed.shape != true.shape or claimed.crs != true.crs:
        return False
    rows, cols = true.shape
    corners = [(0, 0), (cols, 0), (0, rows), (cols, rows)]
    to_pixels = ~true.transform
    away = [np.hypot(*np.subtract(to_pixels @ (claimed.transform @ corner), corner)) for corner in corners]
    return bool(max(away) < _TOLERANCE_PX)


def _projection(geobox: GeoBox) -> dict[str, Any]:
    """The fields of STAC's projection extension."""
    assert geobox.crs is not None  # noqa: S101  # geobox_of_file gives none without
    code = geobox.crs.to_epsg()
    names = {"proj:code": f"EPSG:{code}", "proj:epsg": code} if code else {"proj:wkt2": geobox.crs.to_wkt()}
    return {**names, "proj:shape": list(geobox.shape.yx), "proj:transform": list(geobox.transform)[:6]}
