"""What a date beside the map's own adds to a job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from geoseg.errors import GeosegError
from geoseg.plan import Coverage
from geoseg.scenes import Found
from geoseg.spec import When

_OF_ONE_DATE = re.compile(r"--(datetime|scenes)(?![\w-])")


@dataclass(frozen=True)
class Later:
    """What the second date adds to a job.

    Attributes:
        found: Its items.
        coverage: Its scenes on the grid of the first date.
    """

    found: Found
    coverage: Coverage


@dataclass(frozen=True)
class Earlier:
    """The date before a map's own, which evidence looks back at.

    Attributes:
        found: Its items, with all bands that they have.
        coverages: Red and near infrared of the earlier date and of the map's own, on the map's grid; empty where their
            greenness cannot be compared.
        unmeasured: Why it cannot, in words.
    """

    found: Found
    coverages: tuple[Coverage, ...] = ()
    unmeasured: str = ""


@contextmanager
def asked_as(when: When) -> Iterator[None]:
    """Refusals of the job of one date name the options by which a job of two dates asked for it.

    Args:
        when: Which of the dates.

    Raises:
        GeosegError: What was raised within, reworded.
    """
    options = {"datetime": f"--{when}", "scenes": f"--scenes-{when}"}
    try:
        yield
    except GeosegError as err:
        for part in ("given", "expected", "todo"):
            setattr(err, part, _OF_ONE_DATE.sub(lambda match: options[match[1]], getattr(err, part)))
        raise
