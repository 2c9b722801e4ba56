"""Addresses in keys and messages: without what signs them."""

from __future__ import annotations

import logging
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Query parameters that sign an address and say nothing about its content (Azure SAS, AWS, CloudFront, GCS).
_SIGNATURE = {"sig", "se", "st", "sp", "sv", "sr", "sks", "skt", "ske", "skv", "skoid", "sktid", "expires", "signature"}
_SIGNATURE |= {"key-pair-id", "policy", "awsaccesskeyid", "googleaccessid", "token", "access_token"}
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
# A signature on its own, as error documents and GDAL's paths repeat it.
_LOOSE = re.compile(
    r"(?i)\b(sig|signature|token|access_token|x-amz-signature|x-amz-security-token|x-goog-signature)(=|%3d|: ?)[^\s&'\"<>]+"
)


def unsigned(href: str) -> str:
    """An address without its signature; paths come back as they are."""
    if "://" not in href:
        return href
    parts = urlsplit(href)
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not _signs(k)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query), ""))


def redacted(text: str) -> str:
    """Words in which no address has a query or a user, and nothing looks like a signature."""
    return _LOOSE.sub(r"\1\2...", _ADDRESS.sub(lambda found: _bare(found[0]), text))


def _bare(href: str) -> str:
    try:
        parts = urlsplit(href)
    except ValueError:  # brackets that are no IPv6 address: nothing of it is shown
        return "an address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _signs(name: str) -> bool:
    return name.lower() in _SIGNATURE or name.lower().startswith(("x-amz-", "x-goog-"))


class _Redacting(logging.Filter):
    """httpx logs every request with its whole address."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(str(part)) if "://" in str(part) else part for part in record.args)
        return True


def keep_signatures_out_of_logs() -> None:
    """From now on httpx's own log lines name addresses without their queries."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(known, _Redacting) for known in logger.filters):
        logger.addFilter(_Redacting())
