"""Time ranges as STAC writes them."""

from __future__ import annotations

import datetime as dt

from geoseg.errors import RequestError


def in_utc(moment: dt.datetime) -> dt.datetime:
    """The instant, taken as UTC where it names no zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def parse_time_range(text: str | None) -> tuple[dt.datetime, dt.datetime]:
    """First and last instant of a range; a bare date as END includes that whole day.

    Raises:
        RequestError: If the text is no range.
    """
    start, end = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
    if not text:
        return start, end
    first, _, last = text.partition("/")
    try:
        if first not in {"", ".."}:
            start = in_utc(dt.datetime.fromisoformat(first))
        last = last or first
        if last not in {"", ".."}:
            end = in_utc(dt.datetime.fromisoformat(last))
            if len(last) == len("2022-01-31"):
                end += dt.timedelta(days=1) - dt.timedelta(microseconds=1)
    except ValueError as err:
        raise RequestError(
            f"--datetime {text}", "START/END, such as 2022-01-01/2022-06-30", "write dates as YYYY-MM-DD"
        ) from err
    return start, end
