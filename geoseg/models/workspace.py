"""Measures how much memory a forward pass takes, in a process of its own."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from geoseg.models.folder import ModelFolder
from geoseg.models.network import load_network
from geoseg.models.peak import growth_bytes

#: Side of the measured chip of a finite model: large enough that the pass outweighs what the allocator keeps.
_SIDE_PX = 512
_WARM_UP_PX = 64
#: What the allocator holds back differs from pass to pass; the largest peak counts.
_PASSES = 3


def measure_workspace(folder: ModelFolder, *, allow_pickle: bool = False) -> float:
    """Peak memory of one float32 forward pass in torch, in bytes per chip pixel; what the caller hands over is not counted.

    Args:
        folder: The model; its weights are read again in the process that measures.
        allow_pickle: As for ``load_network``.
    """
    stride_px = folder.spec.stride_px
    side = folder.spec.chip_px or max(_SIDE_PX // stride_px, 1) * stride_px
    warm_up = folder.spec.chip_px or max(_WARM_UP_PX // stride_px, 1) * stride_px
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_per_px, folder, side, warm_up, allow_pickle=allow_pickle).result()


def _peak_per_px(folder: ModelFolder, side: int, warm_up: int, *, allow_pickle: bool) -> float:
    """Runs in the child: growth of the peak over what was resident before, per pixel."""
    torch.set_num_threads(1)
    network = load_network(folder, allow_pickle=allow_pickle)
    peaks = []
    for chip_px in (warm_up, *[side] * _PASSES):
        values = torch.rand(1, folder.spec.channels, chip_px, chip_px)
        valid = torch.ones(1, chip_px, chip_px, dtype=torch.bool)
        peaks.append(growth_bytes(partial(network.scores, values, valid)))
    return max(peaks[1:]) / float(side**2)
