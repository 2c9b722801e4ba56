"""What a static catalogue says that it has: for the message when nothing was found."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pystac

from geoseg.aoi import Bounds, box_in_words
from geoseg.errors import CatalogError
from geoseg.scenes.catalogs import is_address, plugin_of_catalog
from geoseg.scenes.catalogs.folder import root_of, walk
from geoseg.timerange import in_utc, parse_time_range


@dataclass(frozen=True, slots=True)
class Holding:
    """What a catalogue says that a collection has.

    Attributes:
        collection: Its id.
        boxes: West, south, east, north in degrees, each.
        start: First instant, in UTC; that of all time where it is open.
        end: Last instant.
    """

    collection: str
    boxes: tuple[Bounds, ...]
    start: dt.datetime
    end: dt.datetime

    def __str__(self) -> str:
        span = " to ".join(
            "open" if moment.year in {dt.MINYEAR, dt.MAXYEAR} else f"{moment:%Y-%m-%d}"
            for moment in (self.start, self.end)
        )
        return ", ".join([self.collection, span, *(box_in_words(box) for box in self.boxes[:1])])


def holdings(catalog: str) -> tuple[Holding, ...]:
    """Collections of a static catalogue by their own account; none of others, which would have to be asked."""
    if is_address(catalog) or plugin_of_catalog(catalog) is not None:
        return ()
    try:
        return tuple(
            _holding(pystac.Collection.from_dict(document.content))
            for document in walk(root_of(catalog), [])
            if document.content.get("type") == "Collection"
        )
    except (CatalogError, KeyError, TypeError, ValueError, pystac.STACError):  # it is asked for a hint only
        return ()


def _holding(collection: pystac.Collection) -> Holding:
    spans = collection.extent.temporal.intervals or [[None, None]]
    earliest, latest = parse_time_range(None)
    corners = [(*box[:2], *box[len(box) // 2 :][:2]) for box in collection.extent.spatial.bboxes]  # heights left out
    return Holding(
        collection.id,
        tuple((float(w), float(s), float(e), float(n)) for w, s, e, n in corners),
        min(in_utc(start) if start else earliest for start, _ in spans),
        max(in_utc(end) if end else latest for _, end in spans),
    )
