"""What the record of a run is made of: types of its fields, and the facts of two dates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeInt

from geoseg.outputs.hrefs import plain_href, without_secrets

type Text = Annotated[str, AfterValidator(without_secrets)]
type Href = Annotated[str, AfterValidator(plain_href)]
type Json = Annotated[dict[str, Any], AfterValidator(without_secrets)]  # JSON objects of other rooms
type Count = NonNegativeInt


class Part(BaseModel):
    """A part of the record: frozen, without fields that are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class AlignmentFacts(Part):
    """How two dates lay on each other before the correction, in pixels of the map."""

    dy_px: float
    """Rows by which the later date lay farther down than the earlier one: the median of the good windows."""
    dx_px: float
    """Columns by which it lay farther right."""
    scatter_px: float
    """Median distance of good windows from that median."""
    good: Count
    """Windows that show the same ground on both dates."""
    windows: Count
    """Windows that were looked at."""
    good_share: float
    """Share of good ones."""
    verdict: str
    """``consistent``; ``unmeasured`` where too few windows are good; ``left`` with `--align measure`. Others are refused."""
    correction_px: tuple[float, float]
    """Rows and columns by which the later date was moved back; zeros where it lay well enough."""
    left_px: float
    """What an edge may be off by after that."""


class ChangeFacts(Part):
    """What was fitted before the first tile of a change map."""

    detector: str
    """What finds the change."""
    threshold: float | None = None
    """Where change begins, in numbers of the detector; ``None`` where a network or the classes decide."""
    fit: str
    """``scene`` or ``aoi``: what was fitted to."""
    bands: tuple[str, ...]
    """Bands that were compared."""
    overlap_px: tuple[int, int, int, int]
    """First row, first column, last row, last column (exclusive) of what was fitted to, on the map's pixel lattice."""
    pixels: Count
    """Pixels of the sample."""
    alignment: AlignmentFacts
    """How the dates lay on each other."""
    values: Json
    """All that was fitted, to the last digit."""
