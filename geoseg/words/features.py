"""Image features of a window: rounded to bytes, kept in the tile store, and found again by the window's pixels.

Scores are always computed from the rounded features, kept or not, so that a question that is asked later gets the bytes
that it would have got first.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import OutputError
from geoseg.store import Store, TileRecord

_LOG = logging.getLogger(__name__)
#: Raised whenever the features of some window change.
FEATURES_VERSION = 1
_DONE = np.ones((1, 1), dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What an image network says of a window.

    Attributes:
        cells: int8 (rows, cols, width): direction of each cell of the feature grid, in 127ths of its largest part.
        whole: int8 (width): that of the window as a whole.
    """

    cells: NDArray[np.int8]
    whole: NDArray[np.int8]

    @classmethod
    def rounded(cls, cells: NDArray[np.float32], whole: NDArray[np.float32]) -> Features:
        """Of features of any length, (rows, cols, width) and (width,)."""
        return cls(_bytes_of(cells), _bytes_of(whole))

    def units(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cells and whole as vectors of length 1; of zeros where a cell has none."""
        return unit(self.cells.astype(np.float32)), unit(self.whole.astype(np.float32))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (..., width) at length 1; zeros stay."""
    length = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
    made: NDArray[np.float32] = (vectors / np.maximum(length, np.finfo("float32").tiny)[..., None]).astype(np.float32)
    return made


def _bytes_of(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return np.rint(vectors * (127 / np.maximum(largest, np.finfo("float32").tiny))).astype(np.int8)


class FeatureCache:
    """Features by what they are made from: the network, what runs it, and the pixels of the window.

    No place, date or file is in the key, so that neither tiles nor regions have to agree on anything: the same pixels
    have the same features.

    Args:
        store: Where they are kept; ``None`` keeps nothing.
        made_by: Names network, weights, backend and precision.
        most_bytes: Written by this process at most; what is beyond is computed again by the next question.
    """

    def __init__(self, store: Store | None, made_by: str, most_bytes: int) -> None:
        self._store, self._made_by, self._left_bytes = store, made_by, most_bytes
        self.found = self.made = 0

    def get(self, values: NDArray[np.float32], valid: NDArray[np.bool_], make: Callable[[], Features]) -> Features:
        """The features of a window: kept ones, or new ones that are kept.

        Args:
            values: (band, y, x) physical values.
            valid: (y, x): where they are to be believed.
            make: Computes them.
        """
        key = self.key(values, valid)
        record = None if self._store is None else self._store.get(key)
        if record is not None and {"cells_of_features", "whole"} <= record.layers.keys():
            self.found += 1
            return Features(record.layers["cells_of_features"], record.layers["whole"])
        features = make()
        self.made += 1
        size = features.cells.nbytes + features.whole.nbytes
        if self._store is not None and size <= self._left_bytes:
            self._left_bytes -= size
            try:
                layers = {"cells_of_features": features.cells, "whole": features.whole}
                self._store.add(key, TileRecord(layers, _DONE, facts={"features": self._made_by}))
            except OutputError as err:  # the map does not need them
                _LOG.warning("image features are not kept: %s", err.given)
                self._left_bytes = 0
        return features

    def key(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> str:
        """Under which a window is kept."""
        digest = hashlib.sha256(f"features {FEATURES_VERSION} {self._made_by} {values.shape}".encode())
        digest.update(np.ascontiguousarray(np.where(valid, values, np.float32(0))).data)
        digest.update(np.packbits(valid).data)
        return digest.hexdigest()
