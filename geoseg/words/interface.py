"""What a text-image model is to geoseg: two encoders of one width, whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class TextImage(Protocol):
    """Windows of an image and phrases to vectors that can be compared."""

    @property
    def stride_px(self) -> int:
        """Side of a cell of the feature grid in pixels; windows are multiples of it."""
        ...

    def encode_image(self, values: Any, valid: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features of one window.

        Args:
            values: Tensor (1, band, y, x) of physical values.
            valid: Boolean tensor (1, y, x): where they are to be believed.

        Returns:
            (rows, cols, width) of the cells, and (width,) of the window as a whole; of any length.
        """
        ...

    def encode_text(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (sentence, width) of any length."""
        ...

    def mixing(
        self, scores: NDArray[np.float32], cells: NDArray[np.float32], phrases: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """What each prompt's scores gain from those of the others; ``None`` for models that were not trained for it.

        Args:
            scores: (prompt, rows, cols), the best cosine of each prompt.
            cells: Unit features (rows, cols, width).
            phrases: Unit vectors (prompt, width), one for each prompt.

        Returns:
            (prompt, rows, cols), to be added.
        """
        ...
