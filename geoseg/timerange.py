"""Time ranges as STAC writes them."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from geoseg.errors import RequestError

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def in_utc(moment: dt.datetime) -> dt.datetime:
    """The instant, taken as UTC where it names no zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def in_days(text: str, option: str) -> str:
    """A range in days, of one that may name months: ``2023-05/2023-07`` ends with the last of July.

    Args:
        text: A range, or one day or month.
        option: What it was given by, for the refusal.

    Raises:
        RequestError: If the text is no range, or ends before it starts.
    """
    first, _, last = text.partition("/")
    days = f"{_first_day(first)}/{_last_day(last or first)}"
    start, end = parse_time_range(days, option)
    if end < start:
        raise RequestError(f"{option} {text}", "a range that ends after it starts", "write it as 2023-05/2023-07")
    return days


def _first_day(text: str) -> str:
    return f"{text}-01" if _MONTH.fullmatch(text) else text


def _last_day(text: str) -> str:
    if not _MONTH.fullmatch(text):
        return text
    year, month = (int(part) for part in text.split("-"))
    return f"{text}-{calendar.monthrange(year, month)[1]:02d}"


def parse_time_range(text: str | None, option: str = "--datetime") -> tuple[dt.datetime, dt.datetime]:
    """First and last instant of a range; a bare date as END includes that whole day.

    Args:
        text: The range.
        option: What it was given by, for the refusal.

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
    except (ValueError, OverflowError) as err:
        raise RequestError(
            f"{option} {text}", "START/END, such as 2022-01-01/2022-06-30", "write dates as YYYY-MM-DD"
        ) from err
    if start > end:
        raise RequestError(f"{option} {text}", "a start that is not after the end", "swap the two")
    return start, end


def last_twelve_months(today: dt.date) -> str:
    """The last twelve complete months before ``today``, as a STAC time range."""
    end = today.replace(day=1) - dt.timedelta(days=1)
    start = end.replace(day=1)
    start = start.replace(year=start.year - 1 if start.month < 12 else start.year, month=start.month % 12 + 1)
    return f"{start.isoformat()}/{end.isoformat()}"


def is_twelve_months(text: str | None) -> bool:
    """Whether a time range is what ``last_twelve_months`` gives on some day."""
    try:
        end = dt.date.fromisoformat((text or "").partition("/")[2])
    except ValueError:
        return False
    return end.year < dt.MAXYEAR and last_twelve_months(end + dt.timedelta(days=1)) == text
