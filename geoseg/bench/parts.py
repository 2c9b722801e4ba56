"""What a run cannot do without: forward passes, decoding, outlines by GDAL, writing COGs; in CPU seconds.

Each part is measured alone, and once more while the other cores do forward passes too, as they do in a run: processors
that share caches, memory and perhaps a core take longer for the same work when all are busy.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.features
import rasterio.shutil
from rasterio.windows import Window as RasterioWindow

from geoseg.models import ModelFolder
from geoseg.models.backends import Backend
from geoseg.pipeline.prepared import Prepared
from geoseg.predict import Arrays, NumpyArrays
from geoseg.tiles import rectangles

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

_READ_PX = 2048


@dataclass
class Parts:
    """CPU seconds of each part on one thread.

    Attributes:
        forward: Passes over the chips as planned, halo included, with the argmax.
        decoding: Every block of the scene once.
        outlines: ``rasterio.features.shapes`` over the finished map.
        writing: Classes and confidence as COGs with overviews.
    """

    forward: float = 0.0
    decoding: float = 0.0
    outlines: float = 0.0
    writing: float = 0.0

    @property
    def total(self) -> float:
        """Of all parts."""
        return float(sum(astuple(self)))

    def table(self) -> str:
        """A line for each part."""
        return "".join(f"    {field.name:<16} {getattr(self, field.name):8.2f} CPU s\n" for field in fields(self))


def measure_parts(prepared: Prepared, scene: Path, out: Path, scratch: Path) -> Parts:
    """Each part of a finished run, alone.

    Args:
        prepared: The job, of a finite network whose chips are whole.
        scene: Its raster.
        out: Its output folder.
        scratch: Folder for copies.
    """
    parts = Parts()
    parts.forward = _forward_s(prepared.model, prepared.backend, chip_shapes(prepared))
    with _cpu(parts, "decoding"), rasterio.open(scene) as file:
        for row in range(0, file.height, _READ_PX):
            for col in range(0, file.width, _READ_PX):
                file.read(window=RasterioWindow(col, row, _READ_PX, _READ_PX))
    with rasterio.open(out / "classes.tif") as file:
        classes = file.read(1)
    with _cpu(parts, "outlines"):
        for _ in rasterio.features.shapes(classes, mask=classes < 250, connectivity=4):
            pass
    for name in ("classes", "confidence"):
        with rasterio.open(out / f"{name}.tif") as file, rasterio.MemoryFile() as memory:
            with memory.open(**{**file.profile, "driver": "GTiff", "compress": None}) as plain:
                plain.write(file.read())
            with _cpu(parts, "writing"):
                rasterio.shutil.copy(memory.name, scratch / f"{name}.tif", driver="COG", COMPRESS="ZSTD", LEVEL=1)
    return parts


def chip_shapes(prepared: Prepared) -> Counter[tuple[int, int]]:
    """How often the plan has chips of each shape: rows and columns that the network sees."""
    stride, cell_px = prepared.model.spec.stride_px, prepared.model.spec.cell_px
    shapes: Counter[tuple[int, int]] = Counter()
    for task in prepared.tasks:
        for rectangle in rectangles(task.tile, task.cells):
            shown = (rectangle & prepared.region.window).snapped(stride) & rectangle
            if shown:
                shapes.update(chip.window.shape for chip in prepared.chips.chips_over(shown, cell_px))
    return shapes


def _forward_s(model: ModelFolder, backend: Backend, shapes: Counter[tuple[int, int]]) -> float:
    network, arrays = backend.load(model, 1), _arrays(backend)
    arrays.start_thread(1)
    rng, total = np.random.default_rng(0), 0.0
    for shape, count in shapes.items():
        values = arrays.put(rng.random((1, model.spec.channels, *shape), "float32") / 2)
        valid = arrays.put(np.ones((1, *shape), dtype=bool))

        def once(values: Any = values, valid: Any = valid) -> float:  # arrays of the backend's kind
            start = time.process_time()
            arrays.decide(network.scores(values, valid)[0])
            return time.process_time() - start

        once()  # compiled, its memory touched
        total += count * min(once(), once())
    return total


def _arrays(backend: Backend) -> Arrays:
    if backend.name != "torch":
        return NumpyArrays()
    from geoseg.predict.tensors import Tensors  # noqa: PLC0415  # imports torch

    return Tensors(backend.device)


@contextmanager
def _cpu(parts: Parts, name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    setattr(parts, name, getattr(parts, name) + time.process_time() - start)


def compare_with_parts(
    prepared: Prepared, scene: Path, out: Path, scratch: Path, wall_s: float, cores: int, say: Callable[[str], object]
) -> float:
    """Print what the parts take, and the run beside them.

    Returns:
        Wall seconds of the run over CPU seconds of the parts divided by the cores.
    """
    parts = measure_parts(prepared, scene, out, scratch)
    ratio = wall_s * cores / parts.total
    say(f"  parts          {parts.total:8.2f} CPU s, each alone\n{parts.table()}")
    say(f"  run / (parts / {cores} cores) {ratio:8.3f}\n")
    with _others_busy(prepared, cores - 1):
        together = measure_parts(prepared, scene, out, scratch)
    say(f"  parts          {together.total:8.2f} CPU s, with forward passes on the other cores\n{together.table()}")
    say(f"  run / (parts / {cores} cores) {wall_s * cores / together.total:8.3f}\n")
    return ratio


@contextmanager
def _others_busy(prepared: Prepared, count: int) -> Iterator[None]:
    """Processes that do forward passes until the end of the context."""
    context = multiprocessing.get_context("spawn")
    (shape, _), *_ = chip_shapes(prepared).most_common(1)
    others, begun = [], [context.Event() for _ in range(count)]
    for event in begun:
        args = (prepared.model, prepared.backend, shape, event)
        others.append(context.Process(target=_forward_for_ever, args=args, daemon=True))
        others[-1].start()
    for event in begun:
        event.wait()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _forward_for_ever(model: ModelFolder, backend: Backend, shape: tuple[int, int], begun: Event) -> None:
    while True:
        _forward_s(model, backend, Counter({shape: 1}))
        begun.set()
