"""How patient a request is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import stamina

from geoseg.remote.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of one request, its retries included.

    Attributes:
        attempts: Tries.
        total_s: No further try after so long.
        most_wait_s: Longest wait between tries that the client chooses.
        most_told_s: Longest wait that a server may ask for.
        connect_s: For a connection to come about.
        read_s: Without a byte.
        slow_after_s: A body may be slow for so long.
        slow_bytes_per_s: Below this a body is slow.
    """

    attempts: int = 6
    total_s: float = 90.0
    most_wait_s: float = 20.0
    most_told_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 20.0
    slow_after_s: float = 20.0
    slow_bytes_per_s: float = 1000.0

    @property
    def timeout(self) -> httpx.Timeout:
        """In the words of httpx; waiting for a connection of the pool is bounded by ``total_s``."""
        return httpx.Timeout(self.read_s, connect=self.connect_s, pool=self.total_s)

    def tries(self) -> Iterator[stamina.Attempt]:
        """Tries with exponential waits and jitter, for a ``for`` loop around ``with``."""
        return iter(
            stamina.retry_context(
                on=self._whether_again, attempts=self.attempts, timeout=self.total_s, wait_max=self.most_wait_s
            )
        )

    def _whether_again(self, err: Exception) -> bool | float:
        if not isinstance(err, Trouble) or not err.is_transient:
            return False
        return True if err.wait_s is None else min(err.wait_s, self.most_told_s)


PATIENT = Patience()
"""What requests get that say nothing else."""
