"""Outlined examples of a job to vectors: the mean feature of each, as the job's own network sees the job's own scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import Geometry
from shapely.geometry import shape

from geoseg.composite import Composite, make_composite
from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.load import reading
from geoseg.pipeline.making import loader_of, recipe_of
from geoseg.pipeline.prepared import Prepared
from geoseg.pixels import Reason
from geoseg.tiles import global_chips
from geoseg.words import Example, Features
from geoseg.words.features import unit


def with_examples(prepared: Prepared, say: Callable[[str], object] = lambda _: None) -> Prepared:
    """The job with what was outlined as vectors; its keys depend on them.

    Each example is looked at in one window of the lattice, that in which it lies nearest to the middle. Its middle must lie in the
    region, so that a larger region has the same scenes there.

    Raises:
        RequestError: If an example lies outside the region, or on no observed pixel.
    """
    document, plan = prepared.spec.example, prepared.words
    if document is None or plan is None:
        return prepared
    say("looking at the examples")
    owner_of = {phrase: number for number, prompt in enumerate(plan.prompts) for phrase in prompt.meaning}
    windows = _Windows(prepared)
    seen: dict[int, list[tuple[int, ...]]] = {}
    for feature in document["features"]:
        name = " ".join(feature["properties"]["prompt"].split())
        vector = windows.mean(_on_grid(prepared, feature["geometry"], name), name)
        seen.setdefault(owner_of[name.casefold()], []).append(tuple(int(v) for v in vector))
    words = plan.with_examples([_together(owner, seen[owner]) for owner in sorted(seen)])
    return replace(prepared, words=words, key_parts=replace(prepared.key_parts, head=words.digest))


def _together(owner: int, vectors: list[tuple[int, ...]]) -> Example:
    """The examples of a class as one: the mean of their directions, summed in an order that is nobody's."""
    units = unit(np.array(sorted(vectors), np.float32))
    mean = units.mean(axis=0, dtype=np.float64).astype(np.float32)
    rounded = Features.rounded(mean[None, None], mean).whole
    name = "1 example" if len(vectors) == 1 else f"{len(vectors)} examples"
    return Example(owner, name, tuple(int(v) for v in rounded))


def _on_grid(prepared: Prepared, geometry: dict[str, Any], name: str) -> shapely.Geometry:
    """An outline in pixels of the lattice, x = column."""
    crs = prepared.lattice.crs
    placed = Geometry(shape(geometry), "EPSG:4326").to_crs(crs).geom
    inverse, (row, col) = ~prepared.lattice.transform, prepared.lattice.anchor
    outline: shapely.Geometry = shapely.transform(
        placed, lambda xy: np.column_stack(inverse @ (xy[:, 0], xy[:, 1])) - (col, row)
    )
    region = prepared.region.window
    box = shapely.box(region.col0, region.row0, region.col1, region.row1)
    if not box.covers(outline.representative_point()):
        raise RequestError(
            f"--example with {name!r} outside of the region",
            "examples within the map",
            "move them, or make the region larger (--aoi)",
        )
    return outline


class _Windows:
    """Features of windows of a job, from its cache or its network."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._recipe = recipe_of(prepared)
        self._head = loader_of(prepared, self._recipe).words_head()

    def mean(self, outline: shapely.Geometry, name: str) -> NDArray[np.int8]:
        """Mean feature of the cells whose middles lie in an outline, rounded; of the middle cell where none does."""
        model, middle = self._prepared.model.spec, outline.representative_point()
        row, col = int(np.floor(middle.y)), int(np.floor(middle.x))
        assert model.chip_px is not None  # noqa: S101  # text-image models have windows
        assert model.chip_step_px is not None  # noqa: S101
        chips = global_chips(Window(row, col, row + 1, col + 1), model.chip_px, model.chip_step_px)
        window = min((chip.window for chip in chips), key=lambda w: (_off_middle(w, row, col), w.row0, w.col0))
        image = self._image(window)
        seen = image.reason == Reason.OBSERVED
        stride = model.stride_px
        transform = Affine.translation(window.col0, window.row0) @ Affine.scale(stride)
        cells = tuple(side // stride for side in window.shape)
        inside = rasterio.features.geometry_mask([outline], cells, transform, invert=True)
        if not inside.any():
            inside[(row - window.row0) // stride, (col - window.col0) // stride] = True
        inside &= seen.reshape(cells[0], stride, cells[1], stride).any(axis=(1, 3))
        if not inside.any():
            raise RequestError(
                f"--example with {name!r} where nothing was observed", "an example on clear pixels", "outline another"
            )
        features, whole = self._head.features_of(image.values, seen).units()
        mean = unit(features[inside].mean(axis=0, dtype=np.float64).astype(np.float32))
        rounded: NDArray[np.int8] = Features.rounded(mean[None, None], whole).cells[0, 0]
        return rounded

    def _image(self, window: Window) -> Composite:
        prepared, recipe = self._prepared, self._recipe
        with reading(recipe.gdal_cache_bytes):
            return make_composite(
                prepared.coverage.touching(window),
                prepared.lattice.geobox(window),
                len(prepared.model.spec.bands),
                prepared.spec.composite,
                prepared.model.spec.quantity,
                counted=np.zeros(window.shape, dtype=bool),
                strip_bytes=recipe.strip_bytes,
                threads=recipe.read_threads,
                rasters=recipe.rasters,
            )


def _off_middle(window: Window, row: int, col: int) -> int:
    return max(abs(2 * row - window.row0 - window.row1), abs(2 * col - window.col0 - window.col1))
