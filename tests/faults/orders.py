"""Faults in an order: schedules by chance, and signatures that end."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.server import Action, Exchange, Match, Request, Rule, drop, reset, short, stall, status


def schedule(seed: int, faults: int = 8, most: int = 4) -> list[Rule]:
    """Random faults that pass.

    Args:
        seed: The same seed gives the same schedule.
        faults: Number of rules; each strikes up to three requests.
        most: Faults of one range of one file; fewer than a client's attempts, so that every fault heals.
    """
    rng = random.Random(seed)
    kinds: list[Callable[[], Action]] = [
        lambda: status(429, retry_after=rng.choice([0, 1, 3])),
        lambda: status(503, retry_after=rng.choice([None, 0, 2])),
        lambda: status(rng.choice([500, 502, 504])),
        lambda: reset(rng.random()),
        lambda: short(rng.random()),
        lambda: stall(rng.random()),
        drop,
    ]
    struck: Counter[tuple[str, int | None]] = Counter()

    def strikes(chance: float, dice: random.Random) -> Match:
        def match(request: Request) -> bool:
            place = (request.path, request.start)
            if struck[place] >= most or dice.random() > chance:
                return False
            struck[place] += 1
            return True

        return match

    return [
        Rule(rng.choice(kinds)(), strikes(rng.uniform(0.1, 0.8), random.Random(rng.random())), rng.randint(1, 3))
        for _ in range(faults)
    ]


@dataclass(slots=True)
class Tokens:
    """Signatures that a stand-in for a token service hands out and takes back.

    Attributes:
        uses: Requests for which a token is good; ``None``: until ``expire`` is called.
        issued: Number handed out.
    """

    uses: int | None = None
    issued: int = 0
    _left: dict[str, int | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self) -> str:
        """A new token, as a query."""
        with self._lock:
            self.issued += 1
            self._left[f"canary{self.issued}"] = self.uses
            return f"sv=2026&sig=canary{self.issued}"

    def expire(self) -> None:
        """End the life of all tokens."""
        with self._lock:
            self._left.clear()

    def admits(self, query: Mapping[str, str]) -> bool:
        """Whether a request is signed by a living token, which loses a use."""
        with self._lock:
            token = query.get("sig", "")
            left = self._left.get(token, 0)
            if left == 0:
                return False
            self._left[token] = None if left is None else left - 1
            return True

    def guard(self, code: int = 403) -> Rule:
        """Refuse what is not signed, with words that repeat the signature, as Azure does."""

        def refused(request: Request) -> bool:
            return not request.path.startswith("/token") and not self.admits(request.query)

        return Rule(
            lambda x: x.answer(code, f"<Error>Signature not valid: {x.request.query.get('sig')}</Error>".encode(), {}),
            refused,
            times=None,
        )

    def desk(self, life_s: float = 3600.0) -> Rule:
        """Hand tokens out at ``/token/…`` as Planetary Computer does."""

        def act(exchange: Exchange) -> None:
            until = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=life_s)
            text = f'{{"token": "{self.issue()}", "msft:expiry": "{until:%Y-%m-%dT%H:%M:%SZ}"}}'
            exchange.answer(200, text.encode(), {"Content-Type": "application/json"})

        return Rule(act, lambda request: request.path.startswith("/token"), times=None)
