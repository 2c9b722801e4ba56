"""The pattern of farmland: blocks with an orientation each, cut into fields with rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geoseg.demo.noise import Floats, hashed

_BLOCK_PX = 170.0


@dataclass(frozen=True, slots=True)
class Fields:
    """Field pattern over the whole landscape, farmland or not; all (rows, cols).

    Attributes:
        field: Id of the field, non-negative.
        edge_px: Distance to the nearest edge of the field in pixels.
        across_px: Coordinate across the field's rows in pixels.
    """

    field: NDArray[np.int64]
    edge_px: Floats
    across_px: Floats


def make_fields(rng: np.random.Generator, shape: tuple[int, int]) -> Fields:
    """Cut a landscape into blocks (a jittered Voronoi pattern) and each block into fields of its own size and angle."""
    rows, cols = (int(np.ceil(side / _BLOCK_PX)) + 2 for side in shape)
    corner = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1).reshape(-1, 2)
    centre = (corner - 0.5 + rng.uniform(-0.42, 0.42, corner.shape)) * _BLOCK_PX
    y, x = np.meshgrid(np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32), indexing="ij")
    _, block = cKDTree(centre).query(np.stack([y.ravel(), x.ravel()], 1))
    block = block.reshape(shape)

    angle = rng.uniform(0, np.pi, len(centre)).astype(np.float32)
    width = rng.uniform(11, 26, len(centre)).astype(np.float32)
    length = rng.uniform(26, 62, len(centre)).astype(np.float32)
    sin, cos = np.sin(angle)[block], np.cos(angle)[block]
    dy, dx = y - centre[:, 0].astype(np.float32)[block], x - centre[:, 1].astype(np.float32)[block]
    across, along = cos * dx + sin * dy, cos * dy - sin * dx

    band, in_band = _cells(along, length[block], np.float32(0.5))
    # Neighbouring bands of fields are shifted against each other, and differ in their fields' widths.
    band_id = block * 97 + band + 48
    wide = width[block] * (0.75 + 0.6 * hashed(band_id, 1))
    column, in_column = _cells(across, wide, hashed(band_id, 2))
    edge = np.minimum(in_band, in_column)
    return Fields((band_id * 211 + column + 105).astype(np.int64), edge, across.astype(np.float32))


def _cells(coordinate: Floats, size: Floats, shift: Floats | np.float32) -> tuple[NDArray[np.int64], Floats]:
    """Number of the cell, and distance to its nearer end in pixels."""
    scaled = coordinate / size + shift
    cell = np.floor(scaled)
    within = scaled - cell
    return cell.astype(np.int64), np.asarray(np.minimum(within, 1 - within) * size, dtype=np.float32)
