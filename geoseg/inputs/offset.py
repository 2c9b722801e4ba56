"""Does a Sentinel-2 scene carry the offset of 1000 that its metadata claim, or not claim?

Since processing baseline 04.00 reflectance zero is the number 1000 (ESA, Sentinel-2 Products Specification Document).
Land is darkest in red, near infrared or short-wave infrared: shadow, water, vegetation. Numbers far below 1000 there
cannot carry the offset. A dark end that stands like a wall at 1000 or above, in all these bands, with nothing below,
does; clouds, snow and sand are bright too, but their dark end slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geoseg.inputs.sample import Sample
from geoseg.scenes import Item

_OFFSET = -0.1
_ZERO_DN = 1000
# Reflectance below -0.01 is no noise.
_FAR_BELOW_DN = 900
_SHARE_BELOW = 0.01
_BANDS_BELOW = 2
# The wall: the darkest thousandth within so many numbers of zero reflectance, and the darkest hundredth close above.
_WALL_FROM_DN, _WALL_TO_DN = 930, 1400
_WALL_SLOPE = 0.10
# The floor: short-wave infrared may slope more where its darkest thousandth lies at zero reflectance itself.
_FLOOR_TO_DN = 1100
_FLOOR_SLOPE = 0.25
_LEAST_PIXELS = 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What pixels say of a claim.

    Attributes:
        contradiction: What was given, in words, or "" where nothing contradicts it.
        expected: What should be.
        way_out: What to do.
        is_unverified: Whether the pixels could not tell.
    """

    contradiction: str = ""
    expected: str = ""
    way_out: str = ""
    is_unverified: bool = False


def judge_offset(item: Item, sample: Sample) -> Verdict:
    """Compare the claimed offset of a Sentinel-2 item with the dark end of its bands.

    Args:
        item: The item; others than Sentinel-2 have nothing to verify.
        sample: Raw numbers of its bands.
    """
    if not item.sensor.name.startswith("sentinel-2"):
        return Verdict()
    bands = {name: sample.raw[name] for name in item.sensor.dark_bands if name in sample.raw}
    bands = {name: values for name, values in bands.items() if values.size >= _LEAST_PIXELS}
    sources = {**item.witnesses, **item.bands}
    if len(bands) < _BANDS_BELOW:
        return Verdict(is_unverified=True)
    claimed = {sources[name].offset for name in (*bands, *item.bands)}
    far_below = {name: float(np.mean(values < _FAR_BELOW_DN)) for name, values in bands.items()}
    is_dark = sum(share > _SHARE_BELOW for share in far_below.values()) >= _BANDS_BELOW
    ends = ", ".join(f"{name} {np.quantile(values, 0.001):.0f}" for name, values in bands.items())
    if claimed == {_OFFSET} and is_dark:
        return Verdict(
            f"{item.id}, taken to carry the offset of {_ZERO_DN}, with numbers far below it (darkest thousandth: {ends})",
            f"numbers of about {_ZERO_DN} and more: reflectance is not negative",
            "state what is right with --offset 0 (or --offset -0.1, if the scene is right and only strange)",
        )
    stands = "B04" in bands and _is_wall(bands["B04"]) and ("B12" not in bands or _is_floor(bands["B12"]))
    if claimed == {0.0} and not is_dark and stands and max(far_below.values()) == 0:
        return Verdict(
            f"{item.id}, taken to carry no offset, with no number below {_ZERO_DN} (darkest thousandth: {ends})",
            "some land as dark as water, shadow or vegetation",
            "state what is right with --offset -0.1 (or --offset 0, if the scene is right and only bright)",
        )
    return Verdict(is_unverified=not (is_dark or stands))


def _is_wall(values: np.ndarray, to_dn: float = _WALL_TO_DN, slope: float = _WALL_SLOPE) -> bool:
    """Whether the dark end stands upright, near what would be zero reflectance with the offset."""
    darkest, dark = np.quantile(values, (0.001, 0.01))
    return bool(_WALL_FROM_DN <= darkest <= to_dn and dark - darkest <= slope * darkest)


def _is_floor(values: np.ndarray) -> bool:
    """Whether the dark end of short-wave infrared is a wall, or begins at zero reflectance: few pixels are shadow."""
    return _is_wall(values) or _is_wall(values, _FLOOR_TO_DN, _FLOOR_SLOPE)
