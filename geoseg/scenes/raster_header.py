"""What a raster's header says, checked: names, dtypes, grid, nodata, mask."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import DriverRegistrationError, RasterioError

from geoseg.remote import Trouble, redacted, unsigned
from geoseg.scenes.raster_bands import band_names, is_band
from geoseg.scenes.raster_checks import (
    far_words,
    is_address,
    refuse_blocks,
    refuse_numbers,
    refuse_parts,
    refuse_unnamed,
    refuse_unopened,
    refuse_unplaced,
    slow_words,
    unreached,
)
from geoseg.scenes.raster_files import Opener, RasterGroup
from geoseg.scenes.scene import PIXEL_CRS, PIXEL_STEP, BandSource
from geoseg.scenes.sensors import Sensor

_DATE = re.compile(r"(?<!\d)(19|20)(\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")
ALPHA, MASK = "alpha", "mask"  # names of bands that say which pixels are valid


@contextmanager
def _opened(path: str, opener: Opener) -> Iterator[rasterio.DatasetReader]:
    if not is_address(path) and not Path(path).exists():
        raise refuse_unnamed(path)
    try:
        with opener(path) as source:
            yield source
    except RasterioError as err:
        words = redacted(str(err))
        if isinstance(err.__cause__, Trouble) and err.__cause__.is_transient:
            raise unreached(unsigned(path), words) from err
        raise refuse_unopened(unsigned(path), words) from err


@dataclass(frozen=True, slots=True)
class RasterHeader:
    """Facts of one raster, read from its header.

    Attributes:
        asset: Its key in the item.
        geobox: Its pixel grid; that of plain pixels where it has no place.
        tags: For each band: nodata that its dtype can hold, or ``None``.
        impossible: Nodata that no pixel can have.
        has_mask: Whether a mask lies in the file or beside it, and no alpha band says the same.
        sidecar: Version of a mask beside the file, or "".
    """

    path: str
    asset: str
    names: tuple[str, ...]
    origin: str
    dtypes: tuple[str, ...]
    geobox: GeoBox
    tags: tuple[float | None, ...]
    impossible: str
    has_mask: bool
    sidecar: str
    moment: str
    words: tuple[str, ...]

    @classmethod
    def read(
        cls,
        path: str,
        group: RasterGroup,
        number: int,
        wanted: Sequence[str],
        pixel_grid: bool,
        opener: Opener = rasterio.open,
    ) -> RasterHeader:
        """Open and check."""
        several, href, path = len(group.paths) > 1, path, unsigned(path)
        with _opened(href, opener) as source:
            refuse_parts(path, source)
            if not pixel_grid:
                refuse_unplaced(path, source)
            refuse_numbers(path, source)
            refuse_blocks(path, source)
            given = (group.bands[number],) if several else group.bands
            names, origin = band_names(source, given, wanted, path)
            transform, crs = (PIXEL_STEP, CRS(PIXEL_CRS)) if pixel_grid else (source.transform, source.crs)
            has_mask = _has_mask(source, names, wanted)
            words = [slow_words(source), _scaled_words(source), _beside_words(source)]
            words += [] if pixel_grid else [far_words(source)]
            return cls(
                href,
                names[0] if several else "data",
                tuple(names),
                origin,
                source.dtypes,
                GeoBox(source.shape, transform, crs),
                source.nodatavals,
                _impossible_nodata(path, source),
                has_mask,
                _sidecar(source) if has_mask else "",
                _moment(path, source) or "",
                tuple(word for word in words if word),
            )

    @property
    def pixel_area(self) -> float:
        """In squared CRS units."""
        return float(abs(self.geobox.transform.determinant))

    def sources(self, entry: Sensor, pixel_grid: bool) -> dict[str, BandSource]:
        """Band name to source; the file's mask as the band ``mask``."""
        found = {}
        for number, (name, tag) in enumerate(zip(self.names, self.tags, strict=True), start=1):
            nodata = entry.nodata if tag is None else float(tag)
            found[name] = BandSource(self.asset, number, self.path, entry.scale, entry.offset, nodata, pixel_grid)
        if ALPHA in found:
            found[ALPHA] = BandSource(self.asset, found[ALPHA].index, self.path, pixel_grid=pixel_grid)
        if self.has_mask:
            found[MASK] = BandSource(self.asset, 0, self.path, pixel_grid=pixel_grid)
        return found

    def warnings(self, entry: Sensor) -> list[str]:
        """What a person should know."""
        words = list(self.words)
        if self.impossible:
            instead = "" if entry.nodata is None else f"; {entry.nodata:g} is taken, the nodata of {entry.title}"
            words.append(f"nodata {self.impossible} cannot be a pixel of {self.dtypes[0]} and is ignored{instead}")
        return words


def _has_mask(source: rasterio.DatasetReader, names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a mask lies in the file or beside it, and no alpha band says the same.

    The fourth of four bands, which GDAL calls alpha unless told otherwise, is none where its name is that of a band.
    """
    flags = source.mask_flag_enums[0]
    if ALPHA in names or MaskFlags.per_dataset not in flags:
        return False
    if MaskFlags.alpha not in flags:
        return True
    return not any(
        colour is ColorInterp.alpha and is_band(name, wanted)
        for name, colour in zip(names, source.colorinterp, strict=True)
    )


def _impossible_nodata(path: str, source: rasterio.DatasetReader) -> str:
    """The file's nodata tag where its dtype cannot hold it: rasterio hides it, GDAL's description of the file does not."""
    if source.nodata is not None or source.dtypes[0].startswith("float") or source.driver != "GTiff" or "://" in path:
        return ""
    with tempfile.TemporaryDirectory(prefix="geoseg-") as folder:
        description = Path(folder) / "described.vrt"
        try:
            rasterio.shutil.copy(path, description, driver="VRT")
        except (RasterioError, DriverRegistrationError):  # the second where GDAL_SKIP leaves VRT out, as in a service
            return ""
        stated = ET.parse(description).findtext(".//NoDataValue")  # noqa: S314  # GDAL wrote it just now
    return stated or ""


def _scaled_words(source: rasterio.DatasetReader) -> str:
    """A word about scale and offset that the file states and nobody applies."""
    if all(scale == 1 for scale in source.scales) and not any(source.offsets):
        return ""
    pairs = ", ".join(f"{s:g} and {o:g}" for s, o in zip(source.scales, source.offsets, strict=True))
    return f"the scale and offset that the file states ({pairs}) are not applied: the model gets the numbers as stored"


def _beside_words(source: rasterio.DatasetReader) -> str:
    """A word about a CRS that other programs may not read."""
    stated = getattr(source, "crs_from", "")
    return f"the CRS is that of {stated} beside the file, which has none of its own" if stated else ""


def _sidecar(source: rasterio.DatasetReader) -> str:
    """Version of the masks beside a file, so that tiles of another mask are others."""
    beside = [Path(name) for name in source.files[1:] if name.endswith(".msk")]
    return " ".join(f"{p.name}: {p.stat().st_size} bytes, {p.stat().st_mtime_ns} ns" for p in beside if p.exists())


def _moment(path: str, source: rasterio.DatasetReader) -> str | None:
    stamp = source.tags().get("TIFFTAG_DATETIME", "")
    for text in (Path(path).stem, stamp.replace(":", "")):
        match = _DATE.search(text)
        if match:
            try:
                day = dt.date(int(match[1] + match[2]), int(match[3]), int(match[4]))
            except ValueError:
                continue
            return f"{day.isoformat()}T00:00:00Z"
    return None
