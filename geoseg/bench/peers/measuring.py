"""``python -m geoseg.bench peers``: the same scene and network through geoseg and through others, in one run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from geoseg.bench.context import describe_machine
from geoseg.bench.efficiency import reference_seconds
from geoseg.bench.peers.model import make_model, weights_of
from geoseg.bench.peers.scoring import Score, make_whole_map, score
from geoseg.bench.peers.subject import BANDS
from geoseg.demo.land import write_scene
from geoseg.machine import MemoryWatch, release_memory, tune_allocator, usable_cores
from geoseg.models import resolve
from geoseg.models.backends import choose_backend
from geoseg.settings import Settings

_ROOT = Path(__file__).parents[3]
GEOSEG = "geoseg"


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to make the map.

    Attributes:
        name: As it stands in the table.
        module: Script of this package.
        ours: Whether it runs in geoseg's environment.
    """

    name: str
    module: str
    ours: bool = False


PEERS = (
    Peer("torchgeo GridGeoSampler loop", "torchgeo_loop", ours=True),
    Peer("geoai predict_geotiff", "geoai_tiles"),
    Peer("terratorch tiled_inference", "terratorch_tiles"),
    Peer("Dask map_overlap", "dask_overlap", ours=True),
)


@dataclass(slots=True)
class Row:
    """What was measured of one of them.

    Attributes:
        name: As it stands in the table.
        wall_s: Seconds of each whole process.
        peak_bytes: Largest peak memory of the process tree, proportional.
        others_share: Largest share of the cores' time that other programs took meanwhile; figures want it near 0.
        versions: Of the packages that did the work.
        score: Its map against the whole-image map; ``None`` until there is one.
        failure: Why there are no figures.
    """

    name: str
    wall_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    others_share: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    score: Score | None = None
    failure: str = ""

    @property
    def median_s(self) -> float:
        """Median of the wall seconds."""
        return statistics.median(self.wall_s)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run of the benchmark.

    Attributes:
        context: Date, machine, versions.
        side_px: Side of the scene.
        repeat: How often each was run.
        reference_s: Seconds of transform, forward and argmax without overlap with the backend that geoseg chose.
        reference_how: That backend, and shape of its chips.
        rows: geoseg first, then the peers.
    """

    context: str
    side_px: int
    repeat: int
    reference_s: float
    reference_how: str
    rows: Sequence[Row]

    @property
    def speedup(self) -> float | None:
        """Wall seconds of the fastest peer over those of geoseg; ``None`` where either was not measured."""
        ours = [row.median_s for row in self.rows if row.name == GEOSEG and row.wall_s]
        theirs = [row.median_s for row in self.rows if row.name != GEOSEG and row.wall_s]
        return min(theirs) / ours[0] if ours and theirs else None

    def to_json(self) -> str:
        """One line for the history."""
        return json.dumps({"what": "peers", **asdict(self), "speedup": self.speedup})


def compare(folder: Path, side_px: int, repeat: int, peers_python: Path, say: Callable[[str], object]) -> Comparison:
    """Measure all and print a line for each.

    Args:
        folder: Where scene, network and maps go; those that are there are used again.
        side_px: Side of the scene, at least one chip, a multiple of the network's stride of 32 px.
        repeat: Runs of each.
        peers_python: Interpreter of the peers' environment; need not exist.
        say: Takes what is printed.
    """
    tune_allocator()  # as the command line does
    folder = folder.resolve()
    cache = folder / "cache"
    scene = folder / f"scene-{side_px}.tif"
    if not scene.exists():
        write_scene(scene, BANDS, side_px)
    model = make_model(folder)
    whole = make_whole_map(scene, weights_of(model), folder / f"whole-{side_px}.tif")
    release_memory()
    found = resolve(str(model), models_dirs=(), cache=cache, offline=True)
    cores = usable_cores()
    backend = choose_backend(found, Settings().backend, "cpu", "exact", cores, say=lambda words: say(f"{words}\n"))
    say(f"{side_px} x {side_px} px, {len(BANDS)} bands; {describe_machine()}\n")
    rows = [Row(GEOSEG), *(Row(peer.name) for peer in PEERS)]
    for _ in range(repeat):
        _run_geoseg(rows[0], folder, model, scene, whole)
        say(f"{GEOSEG:<30} {_in_words(rows[0])}\n")
        for row, peer in zip(rows[1:], PEERS, strict=True):
            _run_peer(row, peer, folder, model, scene, whole, Path(sys.executable) if peer.ours else peers_python)
            say(f"{row.name:<30} {_in_words(row)}\n")
    reference_s, how = reference_seconds(found, backend, scene, cores)
    how = f"{backend.name}, {how}"
    say(f"{'reference':<30} {reference_s:7.1f} s  ({how}, no overlap)\n")
    result = Comparison(describe_machine(), side_px, repeat, reference_s, how, rows)
    if result.speedup:
        say(f"geoseg is {result.speedup:.2f} times as fast as the fastest of the others\n")
    return result


def _run_geoseg(row: Row, folder: Path, model: Path, scene: Path, whole: Path) -> None:
    """A whole run with an empty tile store; polygons, confidence and the report included."""
    out = folder / "map-geoseg"
    shutil.rmtree(folder / "cache" / "tiles", ignore_errors=True)
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(scene), "--model", str(model), "--fresh"]
    command += ["--sensor", "sentinel-2-l2a", "--out", str(out), "--quiet"]
    _time(row, command, {"GEOSEG_CACHE": str(folder / "cache")}, out / "classes.tif", whole)


def _run_peer(row: Row, peer: Peer, folder: Path, model: Path, scene: Path, whole: Path, python: Path) -> None:
    if not python.exists():
        row.failure = "no environment for peers: `make bench-peers` makes it"
        return
    out = folder / f"map-{peer.module}.tif"
    out.unlink(missing_ok=True)
    command = [str(python), "-m", f"{__package__}.{peer.module}", str(scene), str(weights_of(model)), str(out)]
    # The peers' environment knows nothing of geoseg; none of them has to ask a server.
    answer = _time(row, command, {"PYTHONPATH": str(_ROOT), "HF_HUB_OFFLINE": "1"}, out, whole)
    if answer:
        row.versions = json.loads(answer.splitlines()[-1])


def _time(row: Row, command: Sequence[str], environment: dict[str, str], out: Path, whole: Path) -> str:
    """Run one process, watch its memory, compare its map; what it printed."""
    if row.failure:
        return ""
    start, busy_s, own_s = time.perf_counter(), _busy_s(), _children_s()
    process = subprocess.Popen(  # noqa: S603  # our own words
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with MemoryWatch(process.pid) as memory:
        answer, complaints = process.communicate()
        seconds = time.perf_counter() - start
    if process.returncode:
        row.failure = (complaints.strip().splitlines() or [f"it ended with {process.returncode}"])[-1]
        return ""
    row.wall_s.append(seconds)
    others_s = (_busy_s() - busy_s) - (_children_s() - own_s)
    row.others_share = max(row.others_share, others_s / seconds / usable_cores())
    row.peak_bytes = max(row.peak_bytes, memory.peak_bytes)
    row.score = score(out, whole)
    return answer


def _busy_s() -> float:
    """Seconds that the machine's cores have worked."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _children_s() -> float:
    """Seconds that cores have worked for processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _in_words(row: Row) -> str:
    if row.failure or row.score is None:
        return f"not measured ({row.failure})"
    versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
    return (
        f"{row.median_s:7.1f} s  {row.peak_bytes / 1e9:5.2f} GB  {row.score.wrong_ppm:8.2f} ppm"
        f" (inside {row.score.inner_wrong_ppm:.2f})  worst line {row.score.seam_permille:.2f} per mille"
        f"  others took {row.others_share:.0%} of the cores  {versions}"
    )
