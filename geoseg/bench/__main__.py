"""``python -m geoseg.bench WHAT``: one benchmark; ``make bench`` and its like call it.

``real-sets`` takes configurations; without any all of ``workflows/train``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from geoseg.errors import WeightsError


def main() -> None:
    """Run one benchmark and print its figures."""
    words = _parse()
    with tempfile.TemporaryDirectory(prefix="geoseg-bench-") as scratch:
        folder = words.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        _MEASURES[words.what](words, folder)


def _measure_service(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.service import measure_service  # noqa: PLC0415  # starts a server

    measure_service(folder, words.jobs, words.requests, sys.stdout.write)


def _measure_large_results(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.large_results import measure_large_results  # noqa: PLC0415  # imports geopandas

    del words
    measure_large_results(folder, sys.stdout.write)


def _kill_service(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.kills import kill_service  # noqa: PLC0415  # starts a server

    sys.exit(0 if kill_service(folder, words.kills, sys.stdout.write) else 1)


def _soak(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.soak import soak  # noqa: PLC0415  # starts a server

    sys.exit(0 if soak(folder, words.hours, sys.stdout.write) else 1)


def _tabulate_oddities(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.oddities import tabulate  # noqa: PLC0415  # imports rasterio

    sys.exit(0 if tabulate(words.inputs, folder, sys.stdout.write, markdown=words.markdown) else 1)


def _measure_efficiency(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.efficiency import measure_efficiency  # noqa: PLC0415  # imports torch

    for model in words.model or ("dynamic-world", "demo-landcover"):
        try:
            measure_efficiency(folder, model, (words.side or [8192])[0], words.max_memory, sys.stdout.write)
        except WeightsError as err:
            sys.stdout.write(f"\n{model}: not measured\n{err}\n")


def _measure_memory(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.memory import measure_memory  # noqa: PLC0415

    sides = words.side or [10_000, 20_000]
    measure_memory(folder, _model(words), sides, words.dates, words.max_memory or "2GB", sys.stdout.write)


def _measure_planning(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.planning import measure_planning  # noqa: PLC0415

    measure_planning(folder, _model(words), words.tiles or 1_000_000, words.items, sys.stdout.write)


def _measure_polygons(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.polygons import measure_polygons  # noqa: PLC0415

    measure_polygons(folder, (words.side or [10_980])[0], sys.stdout.write)


def _measure_cluster(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.cluster import measure_cluster  # noqa: PLC0415  # imports distributed

    measure_cluster(folder, _model(words), (words.side or [4096])[0], sys.stdout.write)


def _measure_scheduling(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.scheduling import measure_scheduling  # noqa: PLC0415  # imports distributed

    measure_scheduling(folder, words.tiles or 10_000, words.dates, sys.stdout.write)


def _measure_training(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.training import measure_training  # noqa: PLC0415  # imports torch

    del words
    measure_training(folder, sys.stdout.write)


def _measure_folds(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.folds import measure_folds  # noqa: PLC0415  # imports torch

    for config in words.inputs:
        measure_folds(config, words.folds, folder, sys.stdout.write, (words.model or [None])[0])


def _tabulate_real_sets(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.real_sets import measure_real_sets  # noqa: PLC0415  # the whole road

    measure_real_sets(words.inputs, folder, sys.stdout.write)


def _compare_peers(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.peers.measuring import compare  # noqa: PLC0415  # imports torch
    from geoseg.bench.peers.page import record  # noqa: PLC0415

    side = (words.side or [4096])[0]
    found = compare(folder, side, words.repeat, words.peers_python.absolute(), sys.stdout.write)
    if words.record:
        record(words.record, found)


def _measure_landcover(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.landcover import measure_landcover  # noqa: PLC0415  # the whole road

    data = (words.inputs or [Path("../shared/data/s2-slovenia-lulc")])[0]
    measure_landcover(folder, data, sys.stdout.write, (words.model or ["dynamic-world"])[0])


def _weigh_evidence(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.evidence import measure_evidence  # noqa: PLC0415  # imports the whole road

    measure_evidence(folder, (words.side or [896])[0], sys.stdout.write)


def _measure_change(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.change import measure_change  # noqa: PLC0415  # imports rasterio and scipy
    from geoseg.bench.change_runs import measure_runs  # noqa: PLC0415

    data = (words.inputs or [Path("../shared/data")])[0]
    measure_change(data, sys.stdout.write)
    measure_runs(data, folder, sys.stdout.write)


def _measure_words(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.words import measure_words  # noqa: PLC0415  # imports torch

    data = (words.data or Path("../shared/data")).absolute()
    measure_words(folder, data, [str(part) for part in words.inputs], words.seeds, sys.stdout.write)


def _measure_trained(words: argparse.Namespace, folder: Path) -> None:
    from geoseg.bench.change_trained import measure_trained  # noqa: PLC0415  # imports torch

    config = (words.inputs or [Path("workflows/train/demo-change.yaml")])[0]
    changes: dict[str, dict[str, object]] = {} if words.mix is None else {"pairs": {"mix": words.mix}}
    if words.network is not None:
        changes["network"] = {"architecture": words.network}
    measure_trained(config, words.runs, folder, changes, sys.stdout.write)


def _model(words: argparse.Namespace) -> str:
    return str((words.model or ["demo-landcover"])[0])


_MEASURES = {
    "service": _measure_service,
    "large-results": _measure_large_results,
    "kills": _kill_service,
    "soak": _soak,
    "efficiency": _measure_efficiency,
    "memory": _measure_memory,
    "planning": _measure_planning,
    "polygons": _measure_polygons,
    "oddities": _tabulate_oddities,
    "cluster": _measure_cluster,
    "scheduling": _measure_scheduling,
    "peers": _compare_peers,
    "training": _measure_training,
    "folds": _measure_folds,
    "real-sets": _tabulate_real_sets,
    "landcover": _measure_landcover,
    "evidence": _weigh_evidence,
    "change": _measure_change,
    "words": _measure_words,
    "change-trained": _measure_trained,
}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m geoseg.bench", description=__doc__)
    parser.add_argument("what", choices=tuple(_MEASURES))
    parser.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        help="oddities: folders of rasters and STAC items; landcover: s2-slovenia-lulc; folds: a configuration; "
        "change: folder of shared data; change-trained: a configuration of two dates; "
        "words: pairs, steps, absent, order, second, examples (default: all)",
    )
    parser.add_argument("--markdown", action="store_true", help="oddities: print a Markdown table")
    parser.add_argument("--model", action="append", help="model to measure, folds: to calibrate; repeat for several")
    parser.add_argument("--side", type=int, action="append", help="side of the scene in pixels; repeat for several")
    parser.add_argument(
        "--dates", type=int, default=40, help="dates: of memory's median, 0 leaves it out; of scheduling"
    )
    parser.add_argument("--tiles", type=int, help="scheduling: tiles, 10,000; planning: tiles, 1,000,000")
    parser.add_argument("--items", type=int, default=100_000, help="planning: items of the catalogue")
    parser.add_argument("--max-memory", help="limit that is given to the runs; default: the program's own, memory: 2GB")
    parser.add_argument("--jobs", type=int, default=200, help="service: jobs that are queued at once")
    parser.add_argument("--requests", type=int, default=10_000, help="service: requests over which memory is looked at")
    parser.add_argument("--kills", type=int, default=20, help="kills: how many")
    parser.add_argument("--hours", type=float, default=1.0, help="soak: how long")
    parser.add_argument("--folder", type=Path, help="where scenes and results go; default a temporary folder")
    parser.add_argument("--data", type=Path, help="words: folder of shared data, ../shared/data")
    parser.add_argument("--seeds", type=int, default=5, help="words: networks that are trained")
    parser.add_argument("--folds", type=int, default=4, help="folds: how many")
    parser.add_argument("--runs", type=int, default=5, help="change-trained: trainings, each from a seed of its own")
    parser.add_argument("--mix", type=float, help="change-trained: pairs.mix instead of the configuration's")
    parser.add_argument("--network", help="change-trained: another architecture, such as geoseg:unet for early fusion")
    parser.add_argument("--repeat", type=int, default=3, help="peers: runs of each, of which the median counts")
    parser.add_argument("--peers-python", type=Path, default=Path(".venv-peers/bin/python"), help="peers: their Python")
    parser.add_argument("--record", type=Path, help="peers: folder of benchmarks.md, which takes the table")
    return parser.parse_args()


main()
