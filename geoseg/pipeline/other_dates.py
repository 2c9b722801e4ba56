"""What a date beside the map's own adds to a job."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.plan import Coverage
from geoseg.scenes import Found


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
