"""What metadata says about pixels, against the pixels: before a run reads any of them in earnest.

Owns the comparison. It refuses, or says that it could not tell; it never changes a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from geoseg.errors import InputsContradictError
from geoseg.inputs.checksums import checksum_warnings, with_verified_files
from geoseg.inputs.filler import filler_warnings
from geoseg.inputs.grids import with_true_grids
from geoseg.inputs.offset import Verdict, judge_offset
from geoseg.inputs.ranges import judge_range
from geoseg.inputs.sample import Sample, is_sampled, sample_of
from geoseg.load import Rasters
from geoseg.scenes import Item

__all__ = [
    "Sample",
    "Verdict",
    "check_inputs",
    "checksum_warnings",
    "filler_warnings",
    "judge_offset",
    "judge_range",
    "sample_of",
    "with_true_grids",
    "with_verified_files",
]

# Scenes whose pixels are looked at, spread over the dates.
_MOST_ITEMS = 8
_AT_ONCE = 4


def check_inputs(items: Sequence[Item], rasters: Rasters, *, is_stated: bool) -> list[str]:
    """Compare what items state about their numbers with samples of the numbers.

    Samples come from the whole file, wherever the region lies, so that the answer is the same for every region. Files
    that cannot be read are left to the run.

    Args:
        items: Items over the region, in any order.
        rasters: Opens their files.
        is_stated: Whether the user stated scale or offset: then a contradiction is said, and no reason to stop.

    Returns:
        In plain words, what was contradicted or could not be verified.

    Raises:
        InputsContradictError: If pixels contradict what metadata states, with the way out.
    """
    chosen = _spread(sorted(items, key=lambda item: (item.datetime, item.key)))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        samples = list(pool.map(partial(sample_of, rasters=rasters), chosen))
    words, unverified = [], []
    for item, sample in zip(chosen, samples, strict=True):
        verdicts = (judge_range(item, sample), judge_offset(item, sample))
        against = next((verdict for verdict in verdicts if verdict.contradiction), None)
        if against is not None and not is_stated:
            raise InputsContradictError(against.contradiction, against.expected, against.way_out)
        if against is not None:
            words.append(f"taken as stated all the same: {against.contradiction}; expected {against.expected}")
        elif any(verdict.is_unverified for verdict in verdicts):
            unverified.append(item.id)
    if unverified:
        more = f" and {len(unverified) - 1} more" if len(unverified) > 1 else ""
        way_out = "" if is_stated else "; --offset states it"
        words.append(
            f"unverified: the pixels of {unverified[0]}{more} cannot tell whether their offset is right{way_out}"
        )
    return words


def _spread(items: Sequence[Item]) -> list[Item]:
    """At most ``_MOST_ITEMS`` of them, evenly from the first to the last."""
    checked = [item for item in items if is_sampled(item)]
    if len(checked) <= _MOST_ITEMS:
        return checked
    step = (len(checked) - 1) / (_MOST_ITEMS - 1)
    return [checked[round(number * step)] for number in range(_MOST_ITEMS)]
