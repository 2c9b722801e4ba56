"""Whether a server's name is known, within a time limit that the system's own resolver does not have."""

from __future__ import annotations

import socket
import threading
import urllib.request
from urllib.parse import urlsplit

from geoseg.remote.trouble import Trouble

_WITHIN_S = 5.0


def check_host(href: str, within_s: float = _WITHIN_S) -> None:
    """Look up the host of an address, or the proxy that stands in its way.

    A machine without a network may wait for its resolver for minutes; nothing of it can be told to hurry, so it is
    asked in a thread that is left behind.

    Args:
        href: HTTP address.
        within_s: How long to wait.

    Raises:
        Trouble: If the name is not known, or not within the time.
    """
    host = _asked(href)
    faults: list[OSError] = []
    thread = threading.Thread(target=_look_up, args=(host, faults), name=f"looking up {host}", daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        raise Trouble(href, f"the name {host} was not found within {within_s:g} s: is there a network?", "transport")
    if faults:
        words = faults[0].strerror or type(faults[0]).__name__
        raise Trouble(href, f"the name {host} is not known ({words}): is there a network?", "transport")


def _look_up(host: str, faults: list[OSError]) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as err:
        faults.append(err)
    except UnicodeError as err:  # a label that no name has
        faults.append(OSError(str(err)))


def _asked(href: str) -> str:
    """Whose name has to be known: the server's, or its proxy's as httpx reads it from the environment."""
    parts = urlsplit(href)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(host):
        return urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname or host
    return host
