"""What an export costs on this machine. Each trial has a process of its own, so that a run need not load torch.

Importing this module imports no torch; its processes do where they need it.
"""

from __future__ import annotations

import fcntl
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from geoseg.errors import GeosegError, InterruptedRunError
from geoseg.machine import tune_allocator
from geoseg.models.exports.record import Export, Profile, export_folder, find_export, has_torch
from geoseg.models.exports.running import run_export
from geoseg.models.fetching import writing_to
from geoseg.models.folder import ModelFolder
from geoseg.models.spec import ModelSpec
from geoseg.tiles import finite_halo

if TYPE_CHECKING:
    from geoseg.models.exports.make import ScoringNetwork
    from geoseg.models.exports.onnx_writing import Image

_SIDE_PX = 512
_LEAST_WORKSPACE, _WORKSPACE_STEP = 64.0, 32.0
_COLUMN_STEP = 8192.0
_MOST_PASSES, _ENOUGH_S = 8, 0.5
_LOOK_S = 0.1  # between two looks at whether to stop


def _never() -> bool:
    return False


def export_apart(
    folder: ModelFolder,
    profile: Profile,
    images: Sequence[Image] = (),
    source: str = "",
    *,
    backend: str = "openvino",
    device: str = "cpu",
    target: Path | None = None,
    allow_pickle: bool = False,
    should_stop: Callable[[], bool] = _never,
) -> Export:
    """Make an export and measure its workspace, in other processes; see ``geoseg.models.exports.make.make_export``.

    It gets its name when all is known of it. Of two that make the same at the same time the first one's is kept.
    """
    keeps = target is None
    target = target or export_folder(folder, backend, profile)
    assert target is not None  # noqa: S101  # a command has a cache
    with writing_to(target), ExitStack() as stack:
        target.parent.mkdir(parents=True, exist_ok=True)
        if keeps:
            lock = stack.enter_context((target.parent / f".{target.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not images and (found := find_export(folder, backend, profile)) is not None:
                return found
        made = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")))
            / "made"
        )
        made.mkdir()
        export: Export = _apart(
            _make, folder, profile, tuple(images), source, backend, device, made, allow_pickle, should_stop=should_stop
        )
        needs = folder.spec.workspace_bytes_per_px
        if backend != "torch":
            needs = _apart(_workspace, folder.spec, export, should_stop=should_stop)
        export = replace(export, workspace_bytes_per_px=needs)
        if backend == "openvino":
            export = replace(export, column_bytes=_apart(_column, folder.spec, export, should_stop=should_stop))
        export.write()
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    return replace(export, path=target)


def speeds_apart(
    folder: ModelFolder,
    exports: Sequence[Export],
    threads: int,
    *,
    allow_pickle: bool = False,
    should_stop: Callable[[], bool] = _never,
) -> dict[str, float]:
    """Megapixels a second of a model's exports, and in torch where it is installed.

    All threads are for one chip after the other. Each has a process of its own: one's memory is not the other's.
    """
    speeds = {
        export.backend: _apart(_speed, folder.spec, export, threads, should_stop=should_stop) for export in exports
    }
    if has_torch():
        speeds["torch"] = _apart(_speed_of_torch, folder, threads, allow_pickle, should_stop=should_stop)
    return speeds


def _apart[T](act: Callable[..., T], *arguments: object, should_stop: Callable[[], bool] = _never) -> T:
    """Call a function in a fresh interpreter. Not by multiprocessing, which runs a caller's script again.

    It finds nothing in the current folder, and Ctrl-C is for this process, which ends it. When this process is gone, by
    whatever signal, it ends by itself.
    """
    with tempfile.TemporaryDirectory(prefix="geoseg-") as scratch:
        question, answer, said = (Path(scratch) / name for name in ("question", "answer", "said"))
        question.write_bytes(pickle.dumps((act, arguments)))
        words = [sys.executable, "-P", "-c", f"from {__name__} import answer; answer()", str(question), str(answer)]
        with said.open("wb") as log:
            status = _ended(words, log, should_stop)
        if not answer.is_file():
            lines = said.read_text(errors="replace").strip().splitlines()
            raise GeosegError(
                f"a process that ended with {status}: {lines[-1] if lines else 'without a word'}",
                "one that exports and measures a model",
                "use --backend torch",
            )
        result = pickle.loads(answer.read_bytes())  # noqa: S301  # written by ourselves a moment ago
    if isinstance(result, GeosegError):
        raise result
    returned: T = result
    return returned


def _ended(words: Sequence[str], log: IO[bytes], should_stop: Callable[[], bool]) -> int:
    """Exit status of a process, for which this one waits unless it is asked to stop; it leaves none behind.

    Raises:
        InterruptedRunError: If it is asked to stop.
    """
    with subprocess.Popen(  # noqa: S603  # our own words
        words, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
    ) as process:
        try:
            while not should_stop():
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(_LOOK_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with what it started itself
    raise InterruptedRunError(
        "a request to stop",
        "nothing of it is finished yet: the model was being converted or timed, which is done once",
        "run the same command again",
    )


def answer() -> None:
    """What the fresh interpreter does: read a call from one file, and write what becomes of it to another."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tune_allocator()
    question, target = map(Path, sys.argv[1:])
    act, arguments = pickle.loads(question.read_bytes())  # noqa: S301  # written by ourselves a moment ago
    try:
        result = act(*arguments)
    except GeosegError as err:
        result = err
    target.write_bytes(pickle.dumps(result))


def _end_with_parent() -> None:
    """Wait for the end of a pipe that only the parent holds, which the system closes however that one ends."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def _make(
    folder: ModelFolder,
    profile: Profile,
    images: Sequence[Image],
    source: str,
    backend: str,
    device: str,
    made: Path,
    allow_pickle: bool,  # sent to another process by position
) -> Export:
    from geoseg.models.exports.make import make_export  # noqa: PLC0415  # imports torch

    return make_export(
        folder, profile, images, source, backend=backend, device=device, made=made, allow_pickle=allow_pickle
    )


def _workspace(spec: ModelSpec, export: Export) -> float:
    """By how much the peak of a network and its first pass grows, for each pixel that a chip has more."""
    from geoseg.models.peak import growth_bytes  # noqa: PLC0415  # beside what it measures

    def grown(side: int) -> int:
        network = run_export(spec, export)
        return growth_bytes(partial(network.scores, *_chip(spec, side)))

    side = _side(spec)
    grown(side)  # what libraries keep for themselves comes with the first
    less = 0 if spec.chip_px else side // 2 // spec.stride_px * spec.stride_px
    measured = (grown(side) - (grown(less) if less else 0)) / (side**2 - less**2)
    # Rounded up, so that another measurement of the same network plans the same chips.
    return max(_LEAST_WORKSPACE, math.ceil(measured / _WORKSPACE_STEP) * _WORKSPACE_STEP)


def _column(spec: ModelSpec, export: Export) -> float:
    """The same of a pass that goes strip by strip, for each column that an area has more; 0 where it cannot."""
    from geoseg.models.exports.openvino_network import OpenVinoNetwork  # noqa: PLC0415  # imports OpenVINO
    from geoseg.models.peak import growth_bytes  # noqa: PLC0415  # beside what it measures

    if spec.kind != "finite":
        return 0.0
    top, left, bottom, right = finite_halo(spec.radius_px, spec.stride_px)
    can = True

    def run(width: int) -> None:
        nonlocal can
        values = np.broadcast_to(np.float32(0), (spec.channels, top + bottom + 1, width))
        valid = np.broadcast_to(np.bool_(True), values.shape[1:])
        strips = OpenVinoNetwork(spec, export).strips(values, valid, (top, top + 1), (left, width - right))
        can = strips is not None and all(scores.size for _, scores in strips)

    more, less = (left + right + side // spec.stride_px * spec.stride_px for side in (2 * _SIDE_PX, _SIDE_PX))
    run(less)  # what libraries keep for themselves comes with the first
    grown = [growth_bytes(partial(run, width)) for width in (more, less)] if can else [0, 0]
    step = _COLUMN_STEP
    return max(step, math.ceil((grown[0] - grown[1]) / (more - less) / step) * step) if can else 0.0


def _speed(spec: ModelSpec, export: Export, threads: int) -> float:
    return _mpx_per_s(run_export(spec, export, threads=threads), spec)


def _speed_of_torch(folder: ModelFolder, threads: int, allow_pickle: bool) -> float:
    import torch  # noqa: PLC0415  # in its own process

    from geoseg.models.exports.make import InTorch  # noqa: PLC0415
    from geoseg.models.network import load_network  # noqa: PLC0415

    torch.set_num_threads(threads)
    return _mpx_per_s(InTorch(load_network(folder, allow_pickle=allow_pickle)), folder.spec)


def _mpx_per_s(network: ScoringNetwork, spec: ModelSpec) -> float:
    """Speed of the quickest of a few passes; the first one, in which buffers are made, counts only where it is long."""
    side = _side(spec)
    values, valid = _chip(spec, side)
    seconds: list[float] = []
    while len(seconds) < _MOST_PASSES and sum(seconds[1:] or seconds) < _ENOUGH_S:
        start = time.perf_counter()
        network.scores(values, valid)
        seconds.append(time.perf_counter() - start)
    return side**2 / 1e6 / min(seconds)


def _side(spec: ModelSpec) -> int:
    return spec.chip_px or max(1, _SIDE_PX // spec.stride_px) * spec.stride_px


def _chip(spec: ModelSpec, side: int) -> Image:
    values = np.random.default_rng(3).random((1, spec.channels, side, side), "float32")
    return values, np.ones((1, side, side), bool)
