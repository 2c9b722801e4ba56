"""Dask's map_overlap with the network in the task: a thread of the pool per core, each pass on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.bench.peers.subject import CHIP_PX, CUT_PX, load_network, normalise, run_peer, write_classes
from geoseg.machine import usable_cores


def classify(scene: Path, weights: Path, out: Path) -> None:
    """Map a scene."""
    import dask.array as da  # noqa: PLC0415  # a peer's script imports when it runs
    import rasterio  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    network, step = load_network(weights), CHIP_PX - 2 * CUT_PX
    with rasterio.open(scene) as file:
        bands, rows, cols = file.count, file.height, file.width

    def read(block_info: Any = None) -> NDArray[np.float32]:
        _, (top, bottom), (left, right) = block_info[None]["array-location"]
        with rasterio.open(scene) as file:
            return normalise(file.read(window=((top, bottom), (left, right))))

    def decide(chip: NDArray[np.float32]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            scores = network(torch.from_numpy(np.ascontiguousarray(chip))[None])
        return np.asarray(scores[0].argmax(0)[None].numpy().astype(np.uint8))

    chunks = ((bands,), *(_chunks(side, step) for side in (rows, cols)))
    image = da.map_blocks(read, chunks=chunks, dtype="float32", meta=np.empty((0, 0, 0), np.float32))
    classes = da.map_overlap(
        decide,
        image,
        depth={0: 0, 1: CUT_PX, 2: CUT_PX},
        boundary="none",
        dtype="uint8",
        meta=np.empty((0, 0, 0), np.uint8),
    )
    write_classes(out, scene, classes.compute(scheduler="threads", num_workers=usable_cores())[0])


def _chunks(side: int, step: int) -> tuple[int, ...]:
    return (step,) * (side // step) + ((side % step,) if side % step else ())


if __name__ == "__main__":
    run_peer(classify, "dask")
