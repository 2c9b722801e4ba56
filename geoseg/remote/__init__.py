"""Reading files over HTTP so that a fault heals or has a name, and never becomes a pixel.

GDAL does not talk to servers here (docs/decisions/007): every byte that it gets was asked for, checked against what
the server said of it, and belongs to one version of the file. Faults that pass are retried within bounds; what
remains is a ``Trouble`` with words for the report. Signatures are added to a request as it leaves and stand in no
message.

Owns HTTP. Knows addresses and bytes, not rasters.
"""

from __future__ import annotations

from geoseg.remote.files import RemoteFile, RemoteFiles, is_remote
from geoseg.remote.lookup import check_host
from geoseg.remote.signing import PLANETARY_COMPUTER
from geoseg.remote.trouble import Trouble
from geoseg.remote.words import redacted, unsigned

__all__ = [
    "PLANETARY_COMPUTER",
    "RemoteFile",
    "RemoteFiles",
    "Trouble",
    "check_host",
    "is_remote",
    "redacted",
    "unsigned",
]
