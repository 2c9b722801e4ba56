"""terratorch's tiled inference: the whole scene in memory, scores of overlapping chips are blended."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np

from geoseg.bench.peers.subject import CHIP_PX, CUT_PX, load_network, normalise, run_peer, write_classes


def classify(scene: Path, weights: Path, out: Path) -> None:
    """Map a scene."""
    import rasterio  # noqa: PLC0415  # a peer's script imports when it runs
    import torch  # noqa: PLC0415

    with rasterio.open(scene) as file:
        image = torch.from_numpy(normalise(file.read()))[None]
    scores = import_module("terratorch.tasks.tiled_inference").tiled_inference(
        load_network(weights),
        image,
        crop=CHIP_PX,
        stride=CHIP_PX - 2 * CUT_PX,
        batch_size=1,  # more is slower on a processor
    )
    write_classes(out, scene, scores[0].argmax(0).numpy().astype(np.uint8))


if __name__ == "__main__":
    run_peer(classify, "terratorch")
