"""What a child process does: ``python -m geoseg_api.child compute|plan PARENT``; see `geoseg_api.children`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from geoseg_api.gate import check_drivers, guard_connections

if TYPE_CHECKING:
    from geoseg.pipeline import Prepared
    from geoseg.settings import Settings

_PR_SET_PDEATHSIG = 1
_NICE = 5


class _Voice:
    """The line to the parent, and a run's progress on it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, **content: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(content) + "\n")
            self._stream.flush()

    def stage(self, name: str) -> None:
        self.say(type="stage", name=name)

    def note(self, text: str) -> None:
        self.say(type="note", text=text)

    def tiles(self, total: int, pixels: int) -> None:
        self.say(type="tiles", total=total, pixels=pixels)

    def tile_done(self, pixels: int, *, reused: bool, place: tuple[int, int]) -> None:
        self.say(type="tile", pixels=pixels, reused=reused, place=place)


class _Orders:
    """Orders as they come; ``stop`` and the end of the stream are noticed while one is carried out."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []
        self._come = threading.Condition()
        self.stopped = threading.Event()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            if order.get("type") == "stop":
                self.stopped.set()
            with self._come:
                self._lines.append(order)
                self._come.notify()
        self.stopped.set()
        with self._come:
            self._lines.append({"type": "stop"})
            self._come.notify()

    def next(self) -> dict[str, Any]:
        with self._come:
            self._come.wait_for(lambda: bool(self._lines))
            return self._lines.pop(0)


def main() -> None:
    """Take orders until the parent is gone."""
    kind, parent = sys.argv[1], int(sys.argv[2])
    _end_with(parent)
    if kind == "compute":
        os.nice(_NICE)  # the server and the lease's clock have the core when they want it
    voice = _Voice(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what libraries print is no message
    guard_connections()
    orders = _Orders()
    is_warm = _get_ready()
    while (order := orders.next()).get("type") != "stop":
        try:
            if not is_warm:
                check_drivers()  # tells why
                is_warm = True
            done = _compute(order, voice, orders.stopped) if kind == "compute" else _plan(order)
        except BaseException as err:  # noqa: BLE001  # the job boundary: the parent is told of everything
            voice.say(type="problem", **_problem(err))
        else:
            voice.say(type="done", **done)
    os._exit(0)


def _get_ready() -> bool:
    """Load what every order needs before the first one comes; whether all is well."""
    try:
        check_drivers()
    except RuntimeError:
        return False
    import geoseg.pipeline  # noqa: F401, PLC0415  # after the check: it loads rasterio

    return True


def _end_with(parent: int) -> None:
    """Die when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _problem(err: BaseException) -> dict[str, Any]:
    from geoseg.errors import GeosegError, InterruptedRunError, NothingToDoError, RequestError  # noqa: PLC0415

    if not isinstance(err, GeosegError):
        sys.stderr.write("".join(traceback.format_exception(err)))
        return {"kind": "fault", "name": type(err).__name__, "given": "", "expected": "", "todo": ""}
    kind = "error"
    if isinstance(err, InterruptedRunError):
        kind = "stopped"
    elif isinstance(err, RequestError):
        kind = "request"
    elif isinstance(err, NothingToDoError):
        kind = "nothing"
    words = {"given": err.given, "expected": err.expected, "todo": err.todo}
    return {"kind": kind, "name": type(err).__name__, **words}


def _settings(order: dict[str, Any]) -> Settings:
    from geoseg.settings import Settings  # noqa: PLC0415

    return Settings.with_options(**{n: order[n] for n in ("max_area_km2", "max_pixels") if n in order})


def _plan(order: dict[str, Any]) -> dict[str, Any]:
    """What a run would take; reads no pixels and writes nothing."""
    from geoseg.cli.show import plan_facts  # noqa: PLC0415
    from geoseg.pipeline import Asked, prepare_job  # noqa: PLC0415
    from geoseg.spec import JobSpec  # noqa: PLC0415

    prepared = prepare_job(JobSpec.model_validate(order["spec"]), Asked(_settings(order), asks_files=False))
    with prepared.remote:
        return {"plan": plan_facts(prepared, order.get("price"))}


def _compute(order: dict[str, Any], voice: _Voice, stopped: threading.Event) -> dict[str, Any]:
    """A whole job into a folder."""
    from geoseg.pipeline import run  # noqa: PLC0415
    from geoseg.spec import JobSpec  # noqa: PLC0415
    from geoseg_api.pictures import leave_imagery  # noqa: PLC0415

    settings = _settings(order).model_copy(update={"out": Path(order["out"])})

    def before(prepared: Prepared) -> None:
        leave_imagery(prepared, Path(order["out"]))

    result = run(JobSpec.model_validate(order["spec"]), settings, voice, stopped.is_set, before)
    return {"failed_share": _failed_share(result.report), "allowed": settings.max_failed}


def _failed_share(report: dict[str, Any]) -> float:
    pixels = report["pixels"]
    return float(sum(pixels["failed"].values())) / max(1, int(pixels["aoi"]))


if __name__ == "__main__":
    main()
