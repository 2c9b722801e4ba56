"""What a run tells while it runs; the command line and the service each show it their way."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of a run's progress. Called from one thread."""

    def stage(self, name: str) -> None:
        """A stage begins; ``name`` in plain words."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def tiles(self, total: int, pixels: int) -> None:
        """Tiles will be computed: how many, and how many pixels they hold."""

    def tile_done(self, pixels: int, *, reused: bool, place: tuple[int, int]) -> None:
        """A tile is finished, or was found so; ``place`` is its row and column on the tile lattice."""


class Silent:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def tiles(self, total: int, pixels: int) -> None:
        """Nothing."""

    def tile_done(self, pixels: int, *, reused: bool, place: tuple[int, int]) -> None:
        """Nothing."""
