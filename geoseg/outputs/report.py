"""``report.html``: the record and the map on one page that opens without a network.

Whatever comes from data is escaped by the template engine, and the page's own style and script are the only ones that
its content security policy lets run (by their hashes); colours that come from data are checked to be colours.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.outputs.files import whole_file
from geoseg.outputs.map_sheet import map_sheet, picture_data
from geoseg.outputs.prompt_maps import prompt_maps
from geoseg.outputs.record import Record
from geoseg.outputs.report_text import FILTERS, area_groups, byline, coverage, facts, figures, legend, licences, verdict

type Imagery = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def render_report(
    record: Record,
    pixels: NDArray[np.uint8],
    geobox: GeoBox,
    imagery: NDArray[np.uint8] | None = None,
    valid: NDArray[np.bool_] | None = None,
    dates: Sequence[Imagery] = (),
) -> str:
    """The page.

    Args:
        record: Of the run.
        pixels: Classes of the preview, uint8 of shape (row, col).
        geobox: Of the preview.
        imagery: RGB on the same geobox, uint8 of shape (row, col, 3).
        valid: Where the imagery has pixels, bool of shape (row, col).
        dates: Imagery of the earlier and the later date of a change map, as ``imagery`` and ``valid``.
    """
    css, js = _own("report.css"), _own("report.js")
    values: Mapping[str, Any] = {  # for the template, which takes what it is given
        "record": record,
        "title": record.job.title or record.model.title,
        "byline": byline(record),
        "verdict": verdict(record),
        "figures": figures(record),
        "map": map_sheet(pixels, geobox, record.classes, imagery, valid),
        "dates": [picture_data(*one) for one in dates],
        "legend": legend(record),
        "prompt_maps": prompt_maps(record, pixels),
        "areas": area_groups(record),
        "coverage": coverage(record.pixels),
        "facts": facts(record),
        "licences": licences(record),
        "record_json": record.model_dump_json(indent=2),
        "css": css,
        "js": js,
        "csp": page_policy(css, js),
    }
    return _template().render(values)


def write_report(
    path: Path,
    record: Record,
    pixels: NDArray[np.uint8],
    geobox: GeoBox,
    imagery: NDArray[np.uint8] | None = None,
    valid: NDArray[np.bool_] | None = None,
    dates: Sequence[Imagery] = (),
) -> Path:
    """Writes ``report.html``; see `render_report`.

    Raises:
        OutputError: If the file could not be written whole.
    """
    page = render_report(record, pixels, geobox, imagery, valid, dates)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def page_style() -> Markup:
    """The style of geoseg's pages."""
    return _own("report.css")


def page_policy(css: str, js: str = "") -> str:
    """The content security policy of a page with one style and at most one script, both its own."""
    script = f"script-src {_hash(js)}; " if js else ""
    return f"default-src 'none'; img-src data:; style-src {_hash(css)}; {script}base-uri 'none'; form-action 'none'"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_own),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    filters: Mapping[str, Callable[..., str]] = FILTERS
    environment.filters.update(filters)
    return environment.get_template("report.html")


def _own(name: str) -> Markup:
    """A file of the package: the only text that enters the page as it is."""
    text = resources.files("geoseg.outputs").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # not from data


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
