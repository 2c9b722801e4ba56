"""How many samples, and how many of each stratum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

LEAST = 2  # a variance needs two


def sample_size(weights: Floats, expected: Floats, standard_error: float) -> int:
    """Samples for which overall accuracy has a standard error, each stratum given its share of them.

    Args:
        weights: (stratum,), shares of the area, together 1.
        expected: (stratum,), user's accuracy as it is expected, 0 to 1.
        standard_error: As wanted, above 0.

    References:
        Cochran (1977), Sampling Techniques, equation 5.25, as Olofsson et al. (2014) use it,
        doi:10.1016/j.rse.2014.02.015.
    """
    spread = float(weights @ np.sqrt(expected * (1 - expected)))
    return max(math.ceil((spread / standard_error) ** 2 - 1e-9), LEAST)


def allocate(samples: int, weights: Floats, least: int, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples of each stratum: a least number for the small ones, the rest in proportion to the area of the others.

    The sum is ``samples``, or more where the least numbers alone are more; no stratum gives more pixels than it has.

    Args:
        samples: In all.
        weights: (stratum,), shares of the area.
        least: Of each stratum.
        pixels: (stratum,), pixels that there are.
    """
    floor = np.minimum(np.maximum(least, LEAST), pixels)
    given = floor.copy()
    is_small = np.zeros(len(weights), bool)
    while not is_small.all():  # whoever gets the least number leaves less to the others
        left = samples - int(floor[is_small].sum())
        wanted = left * weights / weights[~is_small].sum()
        below = ~is_small & (wanted <= floor)
        if not below.any():
            given[~is_small] = _rounded(wanted[~is_small], left)
            break
        is_small |= below
    return np.minimum(given, pixels)


def _rounded(wanted: Floats, total: int) -> NDArray[np.int64]:
    """Whole numbers that add up to ``total``; the largest remainders are rounded up."""
    whole = np.floor(wanted).astype(np.int64)
    order = np.argsort(-(wanted - whole), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole
