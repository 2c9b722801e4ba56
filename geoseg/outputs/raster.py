"""Cloud-optimised GeoTIFFs, streamed and read back.

Blocks arrive in any order and are put into a scratch file without compression: blocks of a mosaic do not line up with
blocks of a file, and rewriting a compressed one leaves holes in the file (and has corrupted neighbours before).
GDAL's COG driver then compresses it once, with overviews. rasterio raises nothing when the last flush at close fails,
so the result is read back and compared before it gets its name. ``GTIFF_IGNORE_READ_ERRORS`` is never set.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from geoseg.compiled import compiled
from geoseg.errors import OutputError
from geoseg.outputs.files import WholeFile, output_error, output_errors, whole_file
from geoseg.outputs.legend import NODATA, rgba

type Block = tuple[slice, slice, NDArray[np.uint8]]

_BLOCK_PX = 512
_ZSTD_LEVEL = 1  # a third of the time of level 5, for files that are 2 % (confidence) to 7 % (classes) larger
_MIN_CACHE_BYTES = 16 << 20
# A plain TIFF ends at 4 GiB. With overviews (a third more), tables and what noise gains by compression, 2 GB of pixels
# stay well below.
_MOST_PLAIN_BYTES = 2 * 10**9


@dataclass(frozen=True, slots=True)
class WrittenRaster:
    """A finished raster.

    Attributes:
        path: Where it is.
        size_bytes: Its length.
        counts: Pixels per value, int64 of shape (256,), pixels that no block covered counted as nodata.
    """

    path: Path
    size_bytes: int
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Band:
    nodata: int
    colours: Mapping[int, str]
    names: Mapping[int, str]
    descriptions: tuple[str, ...]
    tags: Mapping[str, str]

    def describe(self, dst: DatasetWriter) -> None:
        """Writes everything but pixels; before any pixel, so that the header need not be rewritten."""
        if self.colours:
            table = {value: rgba(colour) for value, colour in self.colours.items()}
            dst.write_colormap(1, table | {self.nodata: (0, 0, 0, 0)})
        if self.names:
            names = {str(value): name for value, name in sorted(self.names.items())}
            dst.update_tags(
                1, classes=json.dumps(names, ensure_ascii=False), **{f"CLASS_{v}": name for v, name in names.items()}
            )
        for number, text in enumerate(self.descriptions, start=1):
            if text:
                dst.set_band_description(number, text)
        dst.update_tags(**self.tags)


class PixelSum:
    """A checksum of a raster that does not depend on how it was cut into blocks, nor on their order.

    The sum over all pixels of (value - nodata) times a random odd weight of the row times one of the column, modulo
    2**64. Any single wrong pixel changes it, any other difference does so but for a chance of about 2**-56; pixels
    that nobody wrote are nodata and add nothing.

    Attributes:
        value: The sum so far.
        counts: Pixels per value so far, int64 of shape (256,).
    """

    def __init__(self, shape: tuple[int, int], nodata: int) -> None:
        rng = np.random.Generator(np.random.PCG64(20_000))
        self._rows = rng.integers(0, 2**64, shape[0], dtype=np.uint64) | np.uint64(1)
        self._cols = rng.integers(0, 2**64, shape[1], dtype=np.uint64) | np.uint64(1)
        self._nodata = np.uint8(nodata)
        self.value = 0
        self.counts = np.zeros(256, np.int64)

    def add(self, rows: slice, cols: slice, block: NDArray[np.uint8]) -> None:
        """Takes a block, uint8 of shape (row, col) or (band, row, col), at its place in the raster."""
        for number, band in enumerate(block if block.ndim == 3 else block[None]):
            total = _weigh(np.ascontiguousarray(band), self._rows[rows], self._cols[cols], self._nodata, self.counts)
            self.value = (self.value + total * (2 * number + 1)) % 2**64  # so that bands cannot change places


@compiled("uint64(uint8[:, ::1], uint64[::1], uint64[::1], uint8, int64[::1])")
def _weigh(
    band: NDArray[np.uint8],
    row_weights: NDArray[np.uint64],
    col_weights: NDArray[np.uint64],
    nodata: np.uint8,
    counts: NDArray[np.int64],
) -> int:
    """The weighted sum of one band; adds its pixels per value to the counts."""
    total = np.uint64(0)
    for row in range(band.shape[0]):
        line = np.uint64(0)
        for col in range(band.shape[1]):
            line += np.uint64(np.uint8(band[row, col] - nodata)) * col_weights[col]
            counts[band[row, col]] += 1
        total += line * row_weights[row]
    return total  # type: ignore[return-value]  # an integer, once it comes out


def needs_bigtiff(shape: tuple[int, int], bands: int = 1) -> bool:
    """Whether a raster of bytes, in whole blocks, is too large to be sure of a plain TIFF's 4 GiB; known before a pixel."""
    rows, cols = (-(-side // _BLOCK_PX) * _BLOCK_PX for side in shape)
    return rows * cols * bands > _MOST_PLAIN_BYTES


class CogWriter:
    """A cloud-optimised GeoTIFF of one uint8 band, or of several, that takes blocks as they come, from any thread.

    Use it as a context manager: leaving without `close` leaves no file.

    Args:
        path: Final name; the folder must exist. Nothing appears under it unless all went well.
        geobox: Shape, transform and CRS (which may be missing).
        nodata: The declared nodata value.
        colours: Pixel value to ``#rrggbb``; makes a colour table in which nodata is transparent.
        names: Pixel value to class name, kept in the file as the band's tags (``CLASS_<value>`` and ``classes``): GDAL's
            own category names would go to a second file beside it.
        overview_resampling: ``mode`` for classes. ``average`` and ``mode`` leave nodata out.
        description: Of the band; a list makes as many bands.
        tags: More tags of the file.
        memory_bytes: Bound of GDAL's block cache.
        threads: For compression.

    Raises:
        OutputError: If the file cannot be begun.
    """

    def __init__(
        self,
        path: Path,
        geobox: GeoBox,
        *,
        nodata: int = NODATA,
        colours: Mapping[int, str] | None = None,
        names: Mapping[int, str] | None = None,
        overview_resampling: Literal["mode", "average", "nearest"] = "mode",
        description: str | Sequence[str] = "",
        tags: Mapping[str, str] | None = None,
        memory_bytes: int = 256 << 20,
        threads: int = 1,
    ) -> None:
        descriptions = (description,) if isinstance(description, str) else tuple(description)
        self._path, self._geobox, self._resampling, self._threads = path, geobox, overview_resampling, threads
        self._band = _Band(nodata, colours or {}, names or {}, descriptions, tags or {})
        self._cache_bytes = max(int(memory_bytes), _MIN_CACHE_BYTES)
        self._size_bytes = geobox.shape[0] * geobox.shape[1] * len(descriptions)
        self._streamed = PixelSum(geobox.shape.yx, nodata)
        self._lock = Lock()
        self._scratch = WholeFile(path.with_name(f"{path.stem}-scratch.tif"))
        try:
            with self._working():
                self._dst = rasterio.open(self._scratch.temporary, "w", **_profile(geobox, self._band))
                self._band.describe(self._dst)
        except BaseException:
            self._scratch.discard()
            raise

    def add(self, rows: slice, cols: slice, block: NDArray[np.uint8]) -> None:
        """Takes a block, uint8 of shape (row, col), or (band, row, col) where there are several bands.

        Raises:
            OutputError: If the disk refuses.
            ValueError: If it leaves the raster.
        """
        window = _window(rows, cols, block, self._geobox.shape.yx, len(self._band.descriptions))
        with self._lock, _writing(self._path, self._size_bytes):
            self._streamed.add(rows, cols, block)
            self._dst.write(block if block.ndim == 3 else block[None], window=window)

    def close(self) -> WrittenRaster:
        """Compresses what was taken, with overviews, reads it back and gives it its name. What no block covered is nodata.

        Raises:
            OutputError: If the file could not be written whole, or reads back different from what was streamed.
            ValueError: If blocks overlap.
        """
        with self._working():
            self._dst.close()
        missing = self._size_bytes - int(self._streamed.counts.sum())
        if missing < 0:
            raise ValueError(f"blocks overlap: {-missing} pixels more than the raster has")
        self._streamed.counts[self._band.nodata] += missing
        with self._working(), whole_file(self._path, needed_bytes=self._size_bytes) as temporary:
            _add_overviews(self._scratch.temporary, self._resampling, self._threads)
            rasterio.shutil.copy(
                str(self._scratch.temporary),
                str(temporary),
                driver="COG",
                COMPRESS="ZSTD",
                LEVEL=_ZSTD_LEVEL,
                PREDICTOR="NO",
                BLOCKSIZE=_BLOCK_PX,
                OVERVIEWS="FORCE_USE_EXISTING",
                BIGTIFF="YES" if needs_bigtiff(self._geobox.shape.yx, len(self._band.descriptions)) else "NO",
                NUM_THREADS=self._threads,
            )
            _check(temporary, self._path, self._geobox, self._streamed)
        self._scratch.discard()
        return WrittenRaster(self._path, self._path.stat().st_size, self._streamed.counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Where another error is on its way, that of closing what is thrown away says nothing.
            with contextlib.suppress(*() if kind is None else (OutputError,)), self._working():
                self._dst.close()
        finally:
            self._scratch.discard()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        with (
            rasterio.Env(GDAL_CACHEMAX=self._cache_bytes),
            warnings.catch_warnings(),
            _writing(self._path, self._size_bytes),
        ):
            # Where there is no CRS a plain pixel grid is meant.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield


def write_cog(path: Path, geobox: GeoBox, blocks: Iterable[Block], **options: Any) -> WrittenRaster:
    """Writes a cloud-optimised GeoTIFF from a stream of blocks.

    Args:
        path: Final name.
        geobox: Shape, transform and CRS.
        blocks: Rows, columns and values, disjoint, in any order.
        options: Those of `CogWriter`.

    Raises:
        OutputError: If the file could not be written whole, or reads back different from what was streamed.
        ValueError: If blocks overlap or leave the raster.
    """
    with CogWriter(path, geobox, **options) as writer:
        for rows, cols, block in blocks:
            writer.add(rows, cols, block)
        return writer.close()


def _add_overviews(scratch: Path, resampling: str, threads: int) -> None:
    """Gives the scratch file its overviews, without compression: the COG driver would compress its own twice."""
    with rasterio.Env(GDAL_NUM_THREADS=threads), rasterio.open(scratch, "r+") as dst:
        factors = _overview_factors(dst.shape)
        if factors:
            dst.build_overviews(factors, Resampling[resampling])


def _overview_factors(shape: tuple[int, int]) -> list[int]:
    """Until both sides fit into a block."""
    factors: list[int] = []
    while max(shape) > _BLOCK_PX:
        shape = shape[0] // 2, shape[1] // 2
        factors.append(2 ** (len(factors) + 1))
    return factors


def _profile(geobox: GeoBox, band: _Band) -> dict[str, Any]:  # rasterio's keywords
    rows, cols = geobox.shape
    return {
        "driver": "GTiff",
        "width": cols,
        "height": rows,
        "count": len(band.descriptions),
        "dtype": "uint8",
        "nodata": band.nodata,
        "crs": None if geobox.crs is None else geobox.crs.to_wkt(),
        "transform": geobox.transform,
        "tiled": True,
        "blockxsize": _BLOCK_PX,
        "blockysize": _BLOCK_PX,
        "SPARSE_OK": "TRUE",
        "interleave": "band",
        "BIGTIFF": "YES" if needs_bigtiff((rows, cols), len(band.descriptions)) else "NO",
    }


def _window(rows: slice, cols: slice, block: NDArray[np.uint8], shape: tuple[int, int], bands: int) -> Window:
    inside = 0 <= rows.start <= rows.stop <= shape[0] and 0 <= cols.start <= cols.stop <= shape[1]
    fits = block.shape[-2:] == (rows.stop - rows.start, cols.stop - cols.start)
    fits &= block.shape[:-2] == (bands,) or (bands == 1 and block.ndim == 2)
    if not inside or not fits or block.dtype != np.uint8:
        raise ValueError(f"a block of {block.dtype} {block.shape} does not fit at {rows}, {cols} of a raster {shape}")
    return Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)


def _check(temporary: Path, path: Path, geobox: GeoBox, streamed: PixelSum) -> None:
    """Reads every pixel back, overviews included; they lie elsewhere in the file and can be cut on their own."""
    with rasterio.open(temporary) as src:
        nodata = int(src.nodata)
        levels = len(src.overviews(1))
        found = PixelSum(src.shape, nodata)
        for rows, cols, block in _read_blocks(src):
            found.add(rows, cols, block)
        same_place = src.transform.almost_equals(geobox.transform, 1e-9) and (src.crs is None) == (geobox.crs is None)
    for level in range(levels):
        with rasterio.open(temporary, overview_level=level) as src:
            for _ in _read_blocks(src):
                pass
    if found.value != streamed.value or not np.array_equal(found.counts, streamed.counts) or not same_place:
        raise output_error(path, "reads back different from what was written", needed_bytes=int(streamed.counts.sum()))


def _read_blocks(src: DatasetReader) -> Iterator[Block]:
    for _, window in src.block_windows(1):
        rows, cols = window.toslices()
        yield rows, cols, src.read(window=window)


@contextlib.contextmanager
def _writing(path: Path, needed_bytes: int) -> Iterator[None]:
    """Errors of GDAL that are no `OSError` say just as much that the file is not whole."""
    try:
        with output_errors(path, needed_bytes=needed_bytes):
            yield
    except (CPLE_BaseError, RasterioError) as err:
        raise output_error(path, _first_words(err), needed_bytes=needed_bytes) from err


def _first_words(err: BaseException) -> str:
    """What GDAL said first; rasterio's own words only refer to it."""
    while err.__cause__ is not None:
        err = err.__cause__
    text = str(err)
    if "scratch" in text and "IReadBlock" in text:  # GDAL says nothing when a file cannot be finished at its close
        return f"the temporary file beside it was not written whole: {text}"
    return text
