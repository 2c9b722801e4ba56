"""One line of JSON for each event, with the job and the tile that it belongs to; no signature, no line break from outside."""

from __future__ import annotations

import json
import logging
import sys
import time

from geoseg.remote import redacted

_FIELDS = ("job", "tile", "workflow", "worker", "epoch", "status", "method", "path", "seconds", "owner", "request")


class JsonFormatter(logging.Formatter):
    """Records as JSON. What a record carries as ``extra`` under a known name becomes a member."""

    def format(self, record: logging.LogRecord) -> str:
        """A record in one line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        for name in _FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = redacted(value) if isinstance(value, str) else value
        if record.exc_info:
            line["trace"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True)  # control characters and line breaks come out as letters


def log_as_json(level: str) -> None:
    """Send all logs of this process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "rasterio", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
