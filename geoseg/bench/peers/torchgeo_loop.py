"""A plain loop over torchgeo's GridGeoSampler; the middle of each chip goes into the map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoseg.bench.peers.subject import CHIP_PX, CUT_PX, load_network, normalise, run_peer, write_classes


def classify(scene: Path, weights: Path, out: Path) -> None:
    """Map a scene."""
    import rasterio  # noqa: PLC0415  # a peer's script imports when it runs
    import torch  # noqa: PLC0415
    from torch.utils.data import DataLoader  # noqa: PLC0415
    from torchgeo.datasets import RasterDataset, stack_samples  # noqa: PLC0415
    from torchgeo.samplers import GridGeoSampler  # noqa: PLC0415

    network = load_network(weights)
    dataset = RasterDataset(scene)
    sampler = GridGeoSampler(dataset, size=CHIP_PX, stride=CHIP_PX - 2 * CUT_PX)
    with rasterio.open(scene) as file:
        rows, cols, transform = file.height, file.width, file.transform
    classes = np.full((rows, cols), 255, np.uint8)
    with torch.inference_mode():
        for sample in DataLoader(dataset, sampler=sampler, batch_size=1, collate_fn=stack_samples):
            place = sample["transform"].flatten().tolist()
            col, row = (round(value) for value in ~transform @ (place[2], place[5]))
            found = network(torch.from_numpy(normalise(sample["image"][0].numpy()))[None])[0].argmax(0).numpy()
            # The rim of the scene has no other chip; the grid begins in the south-west and passes the other two sides.
            top, left = (-start if start <= 0 else CUT_PX for start in (row, col))
            bottom = rows - row if row + CHIP_PX >= rows else CHIP_PX - CUT_PX
            right = cols - col if col + CHIP_PX >= cols else CHIP_PX - CUT_PX
            classes[row + top : row + bottom, col + left : col + right] = found[top:bottom, left:right]
    write_classes(out, scene, classes)


if __name__ == "__main__":
    run_peer(classify, "torchgeo")
