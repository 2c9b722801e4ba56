"""One gate for every address and path that a request can name (docs/decisions/030).

Twice: before a job is accepted, the words are judged, names are looked up and every address they stand for is looked at;
and in the processes that read, each connection is judged again as it is made, whoever makes it and wherever a redirect or
a second look-up of the name led. GDAL reads files of this machine there and nothing else, by the drivers of real rasters.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geoseg.errors import RequestError
from geoseg.settings import Settings
from geoseg_api.settings import ServiceSettings

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ALLOWED = "GEOSEG_GATE"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
# Drivers of files that name other files or servers, and of servers.
_DRIVERS = (
    "VRT,OGR_VRT,GTI,STACIT,STACTA,WMS,WMTS,WCS,PLMOSAIC,DAAS,EEDA,EEDAI,NGW,OGCAPI,HTTP,PLSCENES,WFS,CSW,OAPIF,Elastic,"
    "Carto,AmigoCloud,GMLAS,PDS4,DERIVED,AIVector,MiraMonVector"
)
# A job has one process, which computes with all cores: a cluster would need connections inside.
_NOT_INHERITED = ("GDAL_", "CPL_", "VSI_", "GEOSEG_WORKERS")
_VRT = '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'  # opens anywhere


class RefusedAddressError(RequestError):
    """An address or path that requests may not name."""


def check_address(href: str, allowed: Sequence[str], where: str) -> None:
    """Judge an address that a request names; asks the resolver and nobody else.

    Args:
        href: The address.
        allowed: Hosts that are fine although they are not public, ``NAME`` or ``NAME:PORT``.
        where: What names it, for messages.

    Raises:
        RefusedAddressError: If it is none of http or https, has a user, another port, or stands for a machine that
            is not public.
    """
    try:
        parts = urlsplit(href)
        port, host = parts.port, parts.hostname
    except ValueError as err:
        raise _refused(where, "an address that cannot be read") from err
    if parts.scheme not in _PORTS or not host or any(ord(letter) <= 32 or ord(letter) == 127 for letter in href):
        raise _refused(where, "an address that is not http:// or https://")
    if parts.username or parts.password or "\\" in href:
        raise _refused(where, "an address with a user in it")
    port = port or _PORTS[parts.scheme]
    if _is_listed(host, port, allowed):
        return
    if port not in _PORTS.values():
        raise _refused(where, f"port {port}")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as err:
        raise _refused(where, "a host whose name is not known here") from err
    if not all(is_public(str(text)) for text in found):
        raise _refused(where, "a host that is not public")


def _refused(where: str, what: str) -> RefusedAddressError:
    return RefusedAddressError(
        f"{where}: {what}",
        "http(s) addresses of public hosts, on their usual ports",
        "the operator may allow more with GEOSEG_SERVICE_ALLOW_HOSTS",
    )


def _is_listed(host: str, port: int, allowed: Iterable[str]) -> bool:
    names = {host.lower().rstrip("."), f"{host.lower().rstrip('.')}:{port}"}
    return any(entry.lower() in names for entry in allowed)


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public network, whatever it is wrapped in."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def check_path(text: str, allowed: Sequence[Path], where: str) -> None:
    """Judge a path of this machine that a request names.

    Raises:
        RefusedAddressError: If it is not below one of the allowed folders, links followed.
    """
    fine = "\0" not in text and text.startswith("/") and not text.startswith(("/vsi", "//"))
    if fine:
        try:
            place = Path(text).resolve()
        except (OSError, RuntimeError):
            fine = False
        else:
            fine = any(place.is_relative_to(folder) for folder in allowed)
    if not fine:
        raise RefusedAddressError(
            f"{where}: a path of the server", "an http(s) address", "the operator may allow folders"
        )


def child_environment(settings: ServiceSettings) -> dict[str, str]:
    """Environment of a process that reads what requests name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {
        **environment,
        "GDAL_SKIP": _DRIVERS,  # has to be there before the first import
        "GDAL_DRIVER_PATH": "disable",
        "GDAL_CONFIG_FILE": os.devnull,
        "GDAL_VRT_ENABLE_PYTHON": "NO",
        "GDAL_HTTP_PROXY": "http://127.0.0.1:9",  # nobody is there: bytes come from geoseg's own client or not at all
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none-at-all",
        "CPL_LOG": os.devnull,
        _ALLOWED: json.dumps([*settings.allow_hosts, *_own_hosts()]),
    }


def _own_hosts() -> list[str]:
    """Servers that the operator named: default catalogue, tile store, scheduler, signatures, proxies."""
    where = Settings()
    named = [where.catalog, where.scheduler or "", os.environ.get("AWS_ENDPOINT_URL", "")]
    named += [part for rule in where.sign for part in rule.split("=")]
    named += urllib.request.getproxies().values()
    found = []
    for href in named:
        parts = urlsplit(href)
        if parts.hostname:
            found.append(f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme, 443)}")
    return found


def guard_connections() -> None:
    """From now on this process connects to public addresses, and to those that the operator named; for good.

    Raises:
        PermissionError: Later, from whatever would connect to another one.
    """
    allowed = tuple(json.loads(os.environ.get(_ALLOWED, "[]")))

    def judge(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in {"socket.connect", "socket.sendto"} or not isinstance(arguments[-1], tuple):
            return
        if arguments[0].type == socket.SOCK_DGRAM and arguments[-1][1] == 53:
            return  # the resolver
        host, port = str(arguments[-1][0]), int(arguments[-1][1])
        if (is_public(host) and port in _PORTS.values()) or (host, port) in _resolved(allowed):
            return
        raise PermissionError(f"a connection to {host}, port {port}, which is neither public nor allowed")

    sys.addaudithook(judge)


@lru_cache(maxsize=1)
def _resolved(allowed: tuple[str, ...]) -> frozenset[tuple[str, int]]:
    """Addresses and ports of hosts that are allowed by name."""
    found = set()
    for entry in allowed:
        name, _, digits = entry.rpartition(":") if re.search(r":\d+$", entry) else (entry, "", "")
        for port in (int(digits),) if digits else _PORTS.values():
            try:
                entries = socket.getaddrinfo(name.strip("[]"), port, type=socket.SOCK_STREAM)
            except OSError:
                continue
            found |= {(str(one[4][0]), port) for one in entries}
    return frozenset(found)


def check_drivers() -> None:
    """Refuse to work where files that name other files can be opened.

    Raises:
        RuntimeError: If they can: the environment was not that of `child_environment`.
    """
    import pyogrio  # noqa: PLC0415  # after the environment
    import rasterio  # noqa: PLC0415
    from rasterio.errors import RasterioError  # noqa: PLC0415

    with tempfile.NamedTemporaryFile(suffix=".tif") as file:
        file.write(_VRT.encode())
        file.flush()
        try:
            rasterio.open(file.name).close()
        except RasterioError:
            pass
        else:
            raise RuntimeError("GDAL opens VRT files")
    if "OGR_VRT" in pyogrio.list_drivers():
        raise RuntimeError("GDAL opens vector VRT files")
