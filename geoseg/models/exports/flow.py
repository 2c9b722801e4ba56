"""How rows flow through a network that is given an image strip by strip: what each operation has to remember.

A strip has so many rows that every feature map of the network gets whole rows of it. After each strip an operation has
made a fixed number of rows less than its share of the image (its *lag*: a convolution waits for the rows below), so
that strip by strip it makes the same number of rows, and always wants the same rows of its source: the new ones and a
fixed number of older ones. Few of those are made again, by strips that overlap (*again*); of many the source's last
rows are kept. Columns are not streamed: of each feature map those are made that the wanted scores depend on.

Only numbers here; ``geoseg.models.exports.streaming`` rebuilds the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Of the rows of a strip that many may be made again before it is cheaper to keep them.
_AGAIN = 0.15

type Span = tuple[int, int]


class Reach(Protocol):
    """Which rows and columns of its source an operation looks at."""

    def lag(self, source: int) -> int:
        """Rows that it lags behind, where its source lags behind by so many."""
        ...

    def older(self, lag: int, again: int, source: int) -> int:
        """Rows of earlier strips that it wants of its source, itself making so many again; below 0: not all new ones."""
        ...

    def cols(self, wanted: Span, width: int) -> Span:
        """Columns of its source, which has so many, for the columns that are wanted of it."""
        ...


@dataclass(frozen=True, slots=True)
class PixelWise:
    """Looks at the same pixel only."""

    def lag(self, source: int) -> int:
        """See ``Reach``."""
        return source

    def older(self, lag: int, again: int, source: int) -> int:
        """See ``Reach``."""
        return lag + again - source

    def cols(self, wanted: Span, width: int) -> Span:
        """See ``Reach``; what has one column only is spread over all."""
        return wanted if width > 1 else (0, 1)


@dataclass(frozen=True, slots=True)
class Sliding:
    """A window that slides: convolution, pooling. Each attribute is of (rows, columns)."""

    kernel: Span
    stride: Span
    dilation: Span
    pad: Span

    def lag(self, source: int) -> int:
        """See ``Reach``."""
        return -((self.pad[0] - (self.kernel[0] - 1) * self.dilation[0] - 1 - source) // self.stride[0] + 1)

    def older(self, lag: int, again: int, source: int) -> int:
        """See ``Reach``."""
        return (lag + again) * self.stride[0] + self.pad[0] - source

    def _edges(self, wanted: Span) -> Span:
        first = wanted[0] * self.stride[1] - self.pad[1]
        return first, (wanted[1] - 1) * self.stride[1] - self.pad[1] + (self.kernel[1] - 1) * self.dilation[1] + 1

    def cols(self, wanted: Span, width: int) -> Span:
        """See ``Reach``."""
        first, end = self._edges(wanted)
        return max(0, first), min(width, end)

    def padding(self, wanted: Span, width: int) -> Span:
        """Columns left and right that its source does not have."""
        first, end = self._edges(wanted)
        return max(0, -first), max(0, end - width)


@dataclass(frozen=True, slots=True)
class Enlarging:
    """So many times the rows and columns. With ``reach`` 1 it looks at the pixels beside, half a pixel away."""

    factor: int
    reach: int = 0

    def lag(self, source: int) -> int:
        """See ``Reach``."""
        return self.factor * source + self.reach * (self.factor // 2)

    def older(self, lag: int, again: int, source: int) -> int:
        """See ``Reach``."""
        return -((-lag - again - self.reach * (self.factor // 2)) // self.factor) - source

    def cols(self, wanted: Span, width: int) -> Span:
        """See ``Reach``."""
        first, end = wanted[0] // self.factor - self.reach, -(-wanted[1] // self.factor) + self.reach
        return max(0, first), min(width, end)


@dataclass(frozen=True, slots=True)
class Step:
    """An operation.

    Attributes:
        name: Of it.
        sources: Input number to the name of the operation it comes from; constants are left out.
        reach: What it looks at.
        rows: That it makes of each strip, lag apart.
        cols: That it makes of the whole width.
        is_input: Whether it is an input of the network, of which any rows can be had again.
    """

    name: str
    sources: Mapping[int, str]
    reach: Reach
    rows: int
    cols: int
    is_input: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operation wants of a source, strip by strip.

    Attributes:
        older: Rows of earlier strips; below 0: so many of the new rows not.
        spare: Newest rows that it does not want yet.
        cols: Columns, counted in the whole width.
        kept: Whether the older rows are kept, not made again.
    """

    older: int
    spare: int
    cols: Span
    kept: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """What all operations do with a strip.

    Attributes:
        lag: Rows that each lags behind.
        again: Rows of earlier strips that each makes again.
        cols: Columns that each makes, counted in the whole width.
        wishes: (operation, input number) to what it wants there.
    """

    lag: dict[str, int] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)
    cols: dict[str, Span] = field(default_factory=dict)
    wishes: dict[tuple[str, int], Wish] = field(default_factory=dict)


def flow_of(steps: Sequence[Step], wanted: Span) -> Flow:
    """How rows flow through a network.

    Args:
        steps: Its operations, sources first; the last one gives its result.
        wanted: Columns of the result that are wanted.
    """
    flow = Flow()
    by_name = {step.name: step for step in steps}
    for step in steps:
        flow.lag[step.name] = step.reach.lag(max((flow.lag[source] for source in step.sources.values()), default=0))
    wishes: dict[str, list[tuple[str, int]]] = {}
    last = steps[-1].name
    for step in reversed(steps):
        if step.name == last:
            flow.cols[last], flow.again[last] = wanted, 0
        elif step.name in wishes:
            _serve(step, [*wishes[step.name]], flow)
        else:
            continue  # nothing depends on it
        for number, source in step.sources.items():
            flow.wishes[step.name, number] = _wish(step, by_name[source], flow)
            wishes.setdefault(source, []).append((step.name, number))
    return flow


def _serve(step: Step, places: list[tuple[str, int]], flow: Flow) -> None:
    """Decide which rows an operation makes again for those that want something of it, and which they keep."""
    most = float("inf") if step.is_input else _AGAIN * step.rows
    asked = [flow.wishes[place] for place in places]
    flow.again[step.name] = max(0, *(wish.older for wish in asked if wish.older <= most), 0)
    flow.cols[step.name] = min(wish.cols[0] for wish in asked), max(wish.cols[1] for wish in asked)
    for place, wish in zip(places, asked, strict=True):
        flow.wishes[place] = Wish(wish.older, wish.spare, wish.cols, wish.older > most)


def _wish(step: Step, source: Step, flow: Flow) -> Wish:
    lag, again, behind = flow.lag[step.name], flow.again[step.name], flow.lag[source.name]
    spare = lag - behind if isinstance(step.reach, PixelWise) else 0
    cols = step.reach.cols(flow.cols[step.name], source.cols)
    return Wish(step.reach.older(lag, again, behind), spare, cols, kept=False)
