"""What plants lost between two dates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VegetationLoss:
    """Facts of one outline with two dates.

    Attributes:
        ndvi_drop: Mean of NDVI before minus after.
        lost_share: Share of the pixels whose drop is at least the limit, 0 to 1.
        seen_share: Share of the pixels that both dates see, 0 to 1.
    """

    ndvi_drop: float | None
    lost_share: float | None
    seen_share: float


def ndvi(red: Floats, nir: Floats) -> Floats:
    """Normalised difference of near infrared and red, NaN where their sum is not above 0 or either is unknown."""
    total = nir + red
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (nir - red) / total, np.nan)


def vegetation_loss(
    before: tuple[Floats, Floats], after: tuple[Floats, Floats], inside: NDArray[np.bool_], limit: float = 0.15
) -> VegetationLoss:
    """How much greenness an outline lost.

    Args:
        before: Red and near infrared reflectance of the first date, (rows, cols) each, NaN where nothing is seen.
        after: The same of the second date, on the same grid.
        inside: (rows, cols), where the outline is; at least one pixel.
        limit: Drop from which a pixel counts as lost.
    """
    drop = (ndvi(*before) - ndvi(*after))[inside]
    seen = drop[np.isfinite(drop)]
    share = len(seen) / len(drop)
    if not len(seen):
        return VegetationLoss(None, None, share)
    return VegetationLoss(float(seen.mean()), float((seen >= limit).mean()), share)
