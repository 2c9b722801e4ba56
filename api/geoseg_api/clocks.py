"""Times as the service writes them."""

from __future__ import annotations

import datetime as dt


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as text with a zone."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
