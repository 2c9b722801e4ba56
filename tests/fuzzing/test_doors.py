"""Doors that take bytes from outside refuse what they do not take, soon and in little memory.

A second for each door here, a quarter of an hour with `make fuzz`. What was found once lies in `corpus/DOOR/` and is
tried each time.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil
import pytest

from geoseg.errors import GeosegError
from geoseg.spec import JobSpec
from tests.fuzzing.doors import DOORS, seeds
from tests.fuzzing.spoiling import spoiled

CORPUS = Path(__file__).parent / "corpus"
MOST_S, MOST_BYTES = 5, 500 * 10**6
_LONG_S = 10


class TooSlow(BaseException):
    """More than five seconds; no library catches this."""


@contextmanager
def alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def resident() -> int:
    size: int = psutil.Process().memory_info().rss
    return size


def kind_of(err: BaseException) -> str:
    """Where something was raised, and what: one find of each kind is enough."""
    frames = [] if isinstance(err, TooSlow) else traceback.extract_tb(err.__traceback__)
    return f"{type(err).__name__} in {frames[-1].filename}:{frames[-1].lineno}" if frames else type(err).__name__


def knock(door: str, data: bytes, keep: Callable[[str], bool] = lambda kind: True) -> None:
    """Give bytes to a door; keep those that do more than be refused."""
    before = resident()
    try:
        with alarm():
            DOORS[door](data)
        assert resident() - before < MOST_BYTES, "memory"
    except GeosegError:
        return
    except BaseException as err:
        if keep(kind_of(err)):
            place = CORPUS / door
            place.mkdir(parents=True, exist_ok=True)
            (place / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
        raise


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Libraries warn of much in what is wrong."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("door", DOORS)
def test_doors_take_what_is_right(door: str) -> None:
    for data in seeds(door):
        assert DOORS[door](data) is not None


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_refused(path: Path) -> None:
    knock(path.parent.name, path.read_bytes())


@pytest.mark.timeout(0)
@pytest.mark.parametrize("door", DOORS)
def test_doors_refuse_what_is_spoiled(door: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Goes on after a find, for as long as it was told to; one of each kind is kept."""
    seconds, seed = request.config.getoption("--fuzz-seconds"), request.config.getoption("--fuzz-seed")
    rng, end, tried, slowest = random.Random(f"{seed}{door}"), time.monotonic() + seconds, 0, 0.0
    found: dict[str, str] = {}
    for data in seeds(door):  # what is loaded when it is first needed is part of the idle process
        DOORS[door](data)
    idle = resident()
    while tried < 20 or time.monotonic() < end:
        data, began = spoiled(rng, rng.choice(seeds(door))), time.monotonic()
        if seconds > _LONG_S:  # a crash of the interpreter leaves its reason behind
            (tmp_path / "last").write_bytes(data)
        try:
            knock(door, data, keep=lambda kind: kind not in found)
        except BaseException as err:
            if isinstance(err, KeyboardInterrupt):
                raise
            found.setdefault(kind_of(err), f"{type(err).__name__}: {err}"[:300])
        slowest = max(slowest, time.monotonic() - began)
        tried += 1
    grown = (resident() - idle) / 1e6
    print(f"{door}: {tried} tried in {seconds:g} s, slowest {slowest:.2f} s, memory {grown:+.0f} MB")  # noqa: T201  # shown with -rP
    assert not found, "\n".join(found.values())
    assert grown < MOST_BYTES / 1e6


@pytest.mark.parametrize("field", ["workflow", "aoi", "like", "evidence"])
@pytest.mark.parametrize("name", ["a" * 10_000, "15,45,16," + "[" * 5_000])
def test_names_that_no_file_system_takes_are_refused(field: str, name: str) -> None:
    with pytest.raises(GeosegError):
        JobSpec.build(**{"aoi": "15,45,16,46", "model": "m", field: name}, scenes=5)
