"""What was done of a tile list, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from geoseg.grid import Window
from geoseg.store import TileRecord


@dataclass(frozen=True, slots=True)
class Done:
    """A computed tile, without its pixels: small enough to be sent.

    Attributes:
        place: Its (row, col).
        pixels: Of the cells that were computed.
        cells: How many these are.
        incomplete: Whether a read failed in or near it.
        failures: File to the reason why it could not be read.
        facts: Those of its record.
        seconds: Stage to seconds.
    """

    place: tuple[int, int]
    pixels: int
    cells: int
    incomplete: bool
    failures: Mapping[str, str]
    facts: Mapping[str, Any]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What was done, for the report.

    Attributes:
        computed: Tiles computed by this run.
        reused: Tiles whose record was complete.
        computed_px: Pixels of the cells computed.
        computed_cells: Cells computed.
        incomplete: Tiles with a failed read in or near them.
        failures: File to the reason why it could not be read.
        used_px: Item key to the pixels of computed cells that it gave, reused tiles included.
        seconds: Stage to seconds, summed over threads.
        keys: (row, col) of a tile to its key.
        model_failures: Chip for which the network gave no answer, to the reason; reused tiles included.
        repeated: (row, col) of tiles that were with a worker when it was lost, and were given to another.
        lost: (row, col) of tiles that nobody could compute, to the reason.
        said: What else the report warns of.
    """

    computed: int = 0
    reused: int = 0
    computed_px: int = 0
    computed_cells: int = 0
    incomplete: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    used_px: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "predict": 0.0, "store": 0.0})
    keys: dict[tuple[int, int], str] = field(default_factory=dict)
    model_failures: dict[Window, str] = field(default_factory=dict)
    repeated: set[tuple[int, int]] = field(default_factory=set)
    lost: dict[tuple[int, int], str] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)

    @classmethod
    def of_lists(cls, tallies: Sequence[Tally]) -> Tally:
        """What was done of several tile lists; keys of tiles are those of the last one."""
        total = cls()
        for tally in tallies:
            for name in ("computed", "reused", "computed_px", "computed_cells", "incomplete"):
                setattr(total, name, getattr(total, name) + getattr(tally, name))
            for item, count in tally.used_px.items():
                total.used_px[item] = total.used_px.get(item, 0) + count
            for stage, seconds in tally.seconds.items():
                total.seconds[stage] += seconds
            total.failures |= tally.failures
            total.model_failures |= tally.model_failures
            total.repeated |= tally.repeated
            total.lost |= tally.lost
            total.said |= tally.said
            total.keys = tally.keys
        return total

    def reuse(self, record: TileRecord) -> None:
        """Count a tile whose record was complete."""
        self.reused += 1
        self._use(record.facts)

    def add(self, done: Done) -> None:
        """Count a computed tile."""
        self._use(done.facts)
        self.computed += 1
        self.computed_px += done.pixels
        self.computed_cells += done.cells
        self.incomplete += done.incomplete
        self.failures.update(done.failures)
        for stage, seconds in done.seconds.items():
            self.seconds[stage] += seconds

    def _use(self, facts: Mapping[str, Any]) -> None:
        """Add the items that a record of the map was made from, and where its network failed."""
        for item, count in facts.get("used_px", {}).items():
            self.used_px[item] = self.used_px.get(item, 0) + count
        for *corners, why in facts.get("model_failures", ()):
            self.model_failures[Window(*corners)] = why
