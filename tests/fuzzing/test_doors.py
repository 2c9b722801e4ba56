"""Doors that take bytes from outside refuse what they do not take, soon and in little memory.

A second for each door here, a quarter of an hour with `make fuzz`. What was found once lies in `corpus/DOOR/` and is
tried each time.
"""

from __future__ import annotations

import hashlib
import random
import signal
import time
from collections.abc import Iterator
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


def knock(door: str, data: bytes) -> None:
    """Give bytes to a door; keep those that do more than be refused."""
    before = resident()
    try:
        with alarm():
            DOORS[door](data)
        assert resident() - before < MOST_BYTES, "memory"
    except GeosegError:
        return
    except BaseException:
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
def test_doors_refuse_what_is_spoiled(door: str, request: pytest.FixtureRequest) -> None:
    seconds, seed = request.config.getoption("--fuzz-seconds"), request.config.getoption("--fuzz-seed")
    rng, end, tried = random.Random(f"{seed}{door}"), time.monotonic() + seconds, 0
    while tried < 20 or time.monotonic() < end:
        knock(door, spoiled(rng, rng.choice(seeds(door))))
        tried += 1
    print(f"{door}: {tried} tried")  # noqa: T201  # shown with -rP


@pytest.mark.parametrize("field", ["workflow", "aoi", "like", "evidence"])
@pytest.mark.parametrize("name", ["a" * 10_000, "15,45,16," + "[" * 5_000])
def test_names_that_no_file_system_takes_are_refused(field: str, name: str) -> None:
    with pytest.raises(GeosegError):
        JobSpec.build(**{"aoi": "15,45,16,46", "model": "m", field: name}, scenes=5)
