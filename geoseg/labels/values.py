"""From numbers and colours of label files to class indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RequestError
from geoseg.labels.base import IGNORE
from geoseg.labels.config import LabelMapping, LabelValue


class UndeclaredLabelError(RequestError):
    """A label file has values that no class and no ``ignore`` has.

    Args:
        counts: Each such value, as a configuration would write it, to its number of pixels in this window.
        path: The file.
    """

    def __init__(self, counts: Mapping[str, int], path: object) -> None:
        self.counts = dict(counts)
        names = ", ".join(list(self.counts)[:5]) + (", …" if len(self.counts) > 5 else "")
        super().__init__(
            f"the label value{'s' * (len(self.counts) > 1)} {names} in {path}",
            "values that a class or ignore has",
            "add it to a class (values) or to ignore, in the data of the configuration",
        )


def indices(
    values: NDArray[Any], mapping: LabelMapping, path: object, missing: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Class index of each pixel.

    Args:
        values: (band, rows, cols) of a label file: one band of numbers, or red, green and blue.
        mapping: What values mean.
        path: For messages.
        missing: (rows, cols), True = the file says that there is nothing.

    Returns:
        (rows, cols), ``IGNORE`` where a value means no class.

    Raises:
        UndeclaredLabelError: If a value has no meaning.
    """
    colours = has_colours(mapping)
    if colours:
        red, green, blue = (values[at].astype(np.int64) for at in (0, 1, 2))
        codes: NDArray[Any] = (red << 16) + (green << 8) + blue
    else:
        codes = _whole_numbers(values[0], path)
    known = {_code(value, colours): index for value, index in mapping.index.items()}
    known |= {_code(value, colours): IGNORE for value in mapping.ignored}
    here = codes if missing is None else codes[~missing]
    if codes.dtype in {np.dtype("uint8"), np.dtype("uint16")}:
        counts = np.bincount(here.ravel())
        present = np.flatnonzero(counts)
        table = np.full(np.iinfo(codes.dtype).max + 1, IGNORE, np.uint8)
        for code, index in known.items():
            if 0 <= code < len(table):
                table[code] = index
        out, counts = table[codes], counts[present]
    else:
        present, counts = np.unique(here, return_counts=True)
        every, where = np.unique(codes, return_inverse=True)
        out = np.array([known.get(code, IGNORE) for code in every.tolist()], np.uint8)[where].reshape(codes.shape)
    strange = {
        f"#{code:06x}" if colours else str(code): int(count)
        for code, count in zip(present.tolist(), counts.tolist(), strict=True)
        if code not in known
    }
    if strange:
        raise UndeclaredLabelError(strange, path)
    if missing is not None:
        out[missing] = IGNORE
    return np.asarray(out)


def has_colours(mapping: LabelMapping) -> bool:
    """Whether labels are pictures whose colours mean classes."""
    return any(isinstance(value, str) for value in (*mapping.index, *mapping.ignored))


def painted(values: NDArray[Any], colours: Mapping[int, tuple[int, ...]]) -> NDArray[np.uint8]:
    """Red, green and blue (3, rows, cols) of a picture with a palette (rows, cols)."""
    table = np.zeros((max(256, int(values.max(initial=0)) + 1), 3), np.uint8)
    for value, colour in colours.items():
        table[value] = colour[:3]
    return np.asarray(np.moveaxis(table[values], -1, 0))


def _whole_numbers(values: NDArray[Any], path: object) -> NDArray[Any]:
    """Numbers of a label file; those of floating point, if they are whole."""
    if np.issubdtype(values.dtype, np.integer):
        return values
    if values.dtype == bool:
        return values.astype(np.uint8)
    filled = np.where(np.isfinite(values), values, -1)
    if (filled != np.round(filled)).any():
        odd = float(filled[filled != np.round(filled)][0])
        raise RequestError(f"the label value {odd:g} in {path}", "whole numbers", "name the file that holds classes")
    return filled.astype(np.int64)


def _code(value: LabelValue, colours: bool) -> int:
    """A value as a number; a colour as 0xrrggbb."""
    if isinstance(value, str) is not colours:
        raise RequestError(
            f"the label value {value} among {'colours' if colours else 'numbers'}",
            "all values as numbers, or all as #rrggbb",
            "write all values in one way",
        )
    return int(value[1:], 16) if isinstance(value, str) else value
