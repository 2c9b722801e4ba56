"""Are the numbers of the kind that they are taken for?"""

from __future__ import annotations

import numpy as np

from geoseg.inputs.offset import Verdict
from geoseg.inputs.sample import Sample
from geoseg.scenes import Item

# Reflectance of land, with room for noise below and for snow and glint above.
_REFLECTANCE = (-0.2, 2.0)
# Even water and shadow are brighter than this in some band and pixel.
_LEAST_BRIGHT = 0.004
# What a type has to be able to hold: land is brighter than this, and an image stretched to 8 bits cannot say so.
_LEAST_REACH = 0.1
_EIGHT_BITS = (0.0, 255.0)
_EIGHT_BIT_SENSORS = frozenset({"rgb", "rgbn", "naip"})
_LEAST_PIXELS = 100


def judge_range(item: Item, sample: Sample) -> Verdict:
    """Compare the central 98 % of an item's values with what its sensor gives.

    Args:
        item: The item.
        sample: Raw numbers of its bands.
    """
    bands = {name: values for name, values in sample.raw.items() if name in item.bands}
    bands = {name: values for name, values in bands.items() if values.size >= _LEAST_PIXELS}
    if not bands:
        return Verdict()
    if item.sensor.quantity == "reflectance":
        return _judge_reflectance(item, sample, {name: np.quantile(v, (0.01, 0.99)) for name, v in bands.items()})
    if item.sensor.name in _EIGHT_BIT_SENSORS:
        return _judge_eight_bits(item, sample, {name: np.quantile(v, (0.01, 0.99)) for name, v in bands.items()})
    return Verdict()


def _judge_reflectance(item: Item, sample: Sample, raw: dict[str, np.ndarray]) -> Verdict:
    scaled = {name: ends * item.bands[name].scale + item.bands[name].offset for name, ends in raw.items()}
    low, high = min(ends[0] for ends in scaled.values()), max(ends[1] for ends in scaled.values())
    reach = max(_reach(item, name, sample.dtypes[name]) for name in raw)
    if _REFLECTANCE[0] <= low and _LEAST_BRIGHT <= high <= _REFLECTANCE[1] and reach >= _LEAST_REACH:
        return Verdict()
    first = min(ends[0] for ends in raw.values())
    last = max(ends[1] for ends in raw.values())
    source = item.bands[next(iter(raw))]
    kind = "" if reach >= _LEAST_REACH else f" ({sample.dtypes[next(iter(raw))]}: {reach:.6g} at most)"
    return Verdict(
        f"{item.id} with numbers from {first:.6g} to {last:.6g}, which x {source.scale:g} {source.offset:+g} make "
        f"{low:.6g} to {high:.6g}{kind}",
        f"reflectance, within {_REFLECTANCE[0]:g} and {_REFLECTANCE[1]:g}",
        "state how numbers become reflectance with --scale and --offset (--scale 1 --offset 0 if they are reflectance)",
    )


def _reach(item: Item, band: str, dtype: str) -> float:
    """The highest reflectance that a band can hold in numbers of its type."""
    source, kind = item.bands[band], np.dtype(dtype)
    return float(np.iinfo(kind).max * source.scale + source.offset) if kind.kind in "iu" else float("inf")


def _judge_eight_bits(item: Item, sample: Sample, raw: dict[str, np.ndarray]) -> Verdict:
    low, high = min(ends[0] for ends in raw.values()), max(ends[1] for ends in raw.values())
    is_fraction = high <= 1 and all(np.issubdtype(sample.dtypes[name], np.floating) for name in raw)
    if _EIGHT_BITS[0] <= low and high <= _EIGHT_BITS[1] and not is_fraction:
        return Verdict()
    kind = sorted({sample.dtypes[name] for name in raw})
    return Verdict(
        f"{item.id} ({', '.join(kind)}) with numbers from {low:.6g} to {high:.6g}",
        f"{item.sensor.title}, with numbers of 8 bits from 0 to 255",
        "stretch the file to 8 bits as the model saw its images (gdal_translate -ot Byte -scale), or say what it is "
        "with --sensor",
    )
