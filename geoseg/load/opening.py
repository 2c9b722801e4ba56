"""How a raster is opened: files of this machine by GDAL, remote ones through verified reads.

GDAL swallows what its callbacks raise. A read that fails gives no bytes instead, and what went wrong waits here until
GDAL returns: then it is raised, whether GDAL noticed anything or not.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit

import rasterio
from rasterio.abc import FileContainer
from rasterio.errors import RasterioError, RasterioIOError

from geoseg.errors import AssetChangedError
from geoseg.load.kept import KeptBlocks
from geoseg.plainfiles import check_plain
from geoseg.remote import RemoteFile, RemoteFiles, Trouble, is_remote
from geoseg.scenes.raster_beside import crs_beside
from geoseg.scenes.raster_ends import cut_short
from geoseg.scenes.raster_parts import cut_part

# XML and JSON are login pages, or rasters like VRT that name any other file, also of this machine.
_NO_RASTERS = (b"<", b"{")
_FIRST_BYTES = 40
# GDAL keeps its openers in a table that it reads without a lock (GDAL 3.12): while one comes or goes, nothing opens.
_table = threading.Lock()


class Rasters:
    """The rasters of a job: each is read in the version that it had when the job was planned.

    Args:
        remote: Files on servers; made when first needed where it is not given.
        facts: File to its version at planning, see ``local_fact`` and ``RemoteFiles.fact``. Files that are not in it
            are read as they are.
        kept: Decoded blocks that neighbouring tiles will look at too.
    """

    def __init__(
        self,
        remote: RemoteFiles | None = None,
        facts: Mapping[str, str] | None = None,
        kept: KeptBlocks | None = None,
    ) -> None:
        self.kept = kept or KeptBlocks()
        self._remote = remote
        self._facts = facts or {}
        self._making = threading.Lock()

    def opened(self, href: str) -> AbstractContextManager[Any]:
        """An open raster: a ``rasterio.DatasetReader``, or what reads like one.

        Raises:
            RasterioError: If it cannot be opened; later, if something cannot be read.
            AssetChangedError: If it is no longer the file that it was, when it is opened, read or closed.
        """
        if is_remote(href):
            return _opened_remotely(self._files().file(href))
        return _opened_here(href, self._facts.get(href))

    def _files(self) -> RemoteFiles:
        with self._making:
            if self._remote is None:
                self._remote = RemoteFiles()
            return self._remote


def local_fact(path: str) -> str:
    """Size and modification time of a file, ``missing``, or ``remote`` for what only GDAL can reach."""
    if "://" in path or path.startswith("/vsi"):
        return "remote"
    try:
        status = Path(path).stat()
    except OSError:
        return "missing"
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


@contextmanager
def _opened_here(path: str, fact: str | None) -> Iterator[rasterio.DatasetReader | _Placed]:
    _refuse_changed(path, fact)
    _refuse_pipe(path)
    part, words = cut_part(path)
    if part:
        raise RasterioIOError(words if part == path else f"made of {part}, {words}")
    with rasterio.open(path) as dataset:
        crs, stated = crs_beside(dataset, path)
        yield _Placed(dataset, crs, stated) if stated else dataset
    _refuse_changed(path, fact)


class _Placed:
    """An open raster with the CRS of a .prj beside it.

    Attributes:
        crs: As the .prj states it; ``None`` where nobody understands it.
        crs_from: Name of the .prj.
    """

    def __init__(self, dataset: rasterio.DatasetReader, crs: Any, crs_from: str) -> None:
        self._dataset = dataset
        self.crs = crs
        self.crs_from = crs_from

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def _refuse_pipe(path: str) -> None:
    """GDAL would wait for what comes out of it; names that only GDAL knows are GDAL's to judge."""
    try:
        check_plain(path)
    except OSError as err:
        if err.errno == errno.EINVAL:
            raise RasterioIOError(f"{path}: {err.strerror}") from err


def _refuse_changed(path: str, fact: str | None) -> None:
    """A file that vanished cannot be read, which the reader reports; one that is another may not be."""
    if fact is None or (now := local_fact(path)) in {fact, "missing"}:
        return
    raise AssetChangedError(
        f"{path}, which changed while the job was running",
        f"the version that the job began with: {fact} (now: {now})",
        "run the same command again: tiles of the new version are computed, the others are kept",
    )


@contextmanager
def _opened_remotely(file: RemoteFile) -> Iterator[_Verified]:
    faults = _Faults()
    try:  # the first request, outside of the lock
        is_text = file.read(0, _FIRST_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_NO_RASTERS)
        cut = cut_short(lambda start, stop: file.read(max(0, start), stop), _length(file))
    except Trouble as trouble:
        raise RasterioIOError(trouble.words) from trouble
    if is_text:
        raise RasterioIOError(_not_a_raster(file))
    if cut:
        raise RasterioIOError(cut)
    name = PurePosixPath(urlsplit(file.href).path).name or "file"
    with _table:
        try:
            dataset = rasterio.open(f"geoseg/{name}", opener=_Container(file, name, faults))
        except RasterioError:
            faults.raise_if_any()
            raise RasterioIOError(_not_a_raster(file)) from None
    try:
        yield _Verified(dataset, faults)
    finally:
        with _table:
            dataset.close()
    faults.raise_if_any()  # what GDAL missed of a header, and took for nothing


def _not_a_raster(file: RemoteFile) -> str:
    version = file.version
    try:
        begins = repr(file.read(0, _FIRST_BYTES))
    except Trouble as trouble:
        begins = trouble.words
    kind = version.media_type or "no content type"
    return f"not a raster: {kind}, {version.length} bytes, beginning with {begins}"


class _Faults:
    """What went wrong inside of GDAL's callbacks."""

    def __init__(self) -> None:
        self._first: Trouble | AssetChangedError | None = None

    def note(self, fault: Trouble | AssetChangedError) -> None:
        self._first = self._first or fault

    def raise_if_any(self) -> None:
        """Raise what happened since the last call.

        Raises:
            RasterioIOError: For what could not be fetched.
            AssetChangedError: For a file that is another one now.
        """
        fault, self._first = self._first, None
        if isinstance(fault, Trouble):
            raise RasterioIOError(fault.words) from fault
        if fault is not None:
            raise fault


class _Verified:
    """An open remote raster. Pixels that GDAL made in spite of a failed read are not given out."""

    def __init__(self, dataset: rasterio.DatasetReader, faults: _Faults) -> None:
        self._dataset = dataset
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def read(self, *args: Any, **options: Any) -> Any:
        """See ``rasterio.DatasetReader.read``."""
        return self._checked("read", *args, **options)

    def read_masks(self, *args: Any, **options: Any) -> Any:
        """See ``rasterio.DatasetReader.read_masks``."""
        return self._checked("read_masks", *args, **options)

    def dataset_mask(self, *args: Any, **options: Any) -> Any:
        """See ``rasterio.DatasetReader.dataset_mask``."""
        return self._checked("dataset_mask", *args, **options)

    def _checked(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            pixels = getattr(self._dataset, method)(*args, **options)
        except RasterioError:
            self._faults.raise_if_any()
            raise
        self._faults.raise_if_any()
        return pixels


class _Container(FileContainer):  # type: ignore[misc]  # rasterio ships no types
    """What GDAL sees: one file, and nothing beside it."""

    def __init__(self, file: RemoteFile, name: str, faults: _Faults) -> None:
        self._file = file
        self._name = name
        self._faults = faults

    def open(self, path: str, mode: str = "rb", **options: Any) -> _Handle:
        del mode, options
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return _Handle(self._file, self._faults)

    def isfile(self, path: str) -> bool:
        return PurePosixPath(path).name == self._name

    def isdir(self, path: str) -> bool:
        del path
        return False

    def ls(self, path: str) -> list[str]:
        del path
        return []

    def mtime(self, path: str) -> int:
        del path
        return 0

    def rm(self, path: str) -> None:
        raise PermissionError(path)

    def size(self, path: str) -> int:
        del path
        return _length(self._file)


def _length(file: RemoteFile) -> int:
    return file.version.length or 0


class _Handle:
    """A position in a remote file; never raises, see the module."""

    def __init__(self, file: RemoteFile, faults: _Faults) -> None:
        self._file = file
        self._faults = faults
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def read(self, size: int = -1) -> bytes:
        stop = _length(self._file) if size < 0 else self._at + size
        try:
            body = self._file.read(self._at, stop)
        except (Trouble, AssetChangedError) as fault:
            self._faults.note(fault)
            return b""
        self._at += len(body)
        return body

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: _length(self._file)}[whence]
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        return self._at
