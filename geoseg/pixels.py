"""What pixel values mean. One place, so that no room writes 254 where another reads 255.

``classes``: class indices from 0 to 250, ``FAILED_CLASS``, ``NO_CLASS`` (the declared nodata value).
``confidence``: percent, ``NO_CONFIDENCE`` where there is no class.
``reason``: a ``Reason``; ``NEAR_FAILED_BIT`` is added where a class lies near a failed pixel.
"""

from __future__ import annotations

from enum import IntEnum

FAILED_CLASS = 254
NO_CLASS = 255
NO_CONFIDENCE = 255
NEAR_FAILED_BIT = 0x80


class Reason(IntEnum):
    """Why a pixel has a class, or has none."""

    OBSERVED = 0
    UNOBSERVED = 1  # no scene covers it
    MASKED = 2  # observed, but something was in the way on every date
    FAILED = 3  # it should have been read and was not
    MODEL = 4  # the network gave no finite score
