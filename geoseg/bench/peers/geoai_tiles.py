"""geoai's tiled inference: scores of overlapping tiles are blended."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.bench.peers.subject import CHIP_PX, CLASSES, CUT_PX, load_network, normalise, run_peer


def classify(scene: Path, weights: Path, out: Path) -> None:
    """Map a scene."""
    import_module("geoai.inference").predict_geotiff(
        load_network(weights),
        str(scene),
        str(out),
        tile_size=CHIP_PX,
        overlap=2 * CUT_PX,
        batch_size=1,  # more is slower on a processor
        num_classes=CLASSES,
        output_dtype="uint8",
        output_nodata=255,
        preprocess_fn=normalise,
        postprocess_fn=_decide,
        device="cpu",
        verbose=False,
    )


def _decide(scores: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(scores.argmax(axis=0)[None].astype(np.uint8))


if __name__ == "__main__":
    run_peer(classify, "geoai-py")
