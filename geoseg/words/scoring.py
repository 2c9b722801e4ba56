"""Features and phrases to scores, and scores to classes: the algorithm, in NumPy. See docs/decisions/032-words.md.

Every phrase has a map of its own up to the last step, because all steps but the choice add the same to all phrases of a
prompt; so the phrase that wins a pixel is known. Phrases and classes come in an order that is nobody's (``Prompt.meaning``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter, uniform_filter1d
from scipy.sparse import csr_array

from geoseg.pixels import NO_CONFIDENCE
from geoseg.words.settings import WordSettings

Floats = NDArray[np.float32]
_TOP_SHARE, _HALF = 0.02, 0.5


def cell_scores(
    cells: Floats,
    whole: Floats,
    seen: NDArray[np.bool_],
    phrases: Floats,
    owners: Sequence[int],
    settings: WordSettings,
    mixed: Floats | None = None,
    generic: Floats | None = None,
) -> Floats:
    """Scores of a window's cells: cosines, less the window's own answer, and less for prompts that are not there.

    Args:
        cells: Unit features (rows, cols, width).
        whole: Unit feature of the window (width,).
        seen: (rows, cols): cells with at least one observed pixel.
        phrases: Unit vectors (phrase, width).
        owners: Number of the prompt of each phrase.
        settings: Of the model and the job.
        mixed: What class mixing adds to every prompt, (prompt, rows, cols).
        generic: Mean vector (width,) of phrases that mean nothing; what a cell says to them is taken off all.

    Returns:
        (phrase, rows, cols), in units of a cosine.
    """
    scores: Floats = cosines(cells, phrases)
    if generic is not None:
        scores -= (cells @ generic)[None]
    members = _members(owners)
    if settings.bias:
        own = phrases @ whole
        for numbers in members:
            scores[numbers] -= np.float32(settings.bias) * own[numbers].max()
    if mixed is not None:
        scores += mixed[np.asarray(owners)]
    if settings.gate and seen.any():
        for numbers, presence in zip(members, presences(scores, members, owners, seen, settings), strict=True):
            lowered = settings.gate * settings.temperature * np.log(max(presence, settings.gate_floor))
            scores[numbers] += np.float32(lowered)
    return scores


def cosines(cells: Floats, phrases: Floats) -> Floats:
    """Products (phrase, rows, cols) of unit features (rows, cols, width) and unit vectors (phrase, width).

    Without BLAS: its threads would wait for those of the other passes, and sum in an order of their own.
    """
    made: Floats = np.einsum("ijd,kd->kij", cells, phrases).astype(np.float32)
    return made


def presences(
    scores: Floats,
    members: Sequence[Sequence[int]],
    owners: Sequence[int],
    seen: NDArray[np.bool_],
    settings: WordSettings,
) -> list[float]:
    """How likely each prompt is somewhere in a window, 0 to 1; 1 for the phrases that stand for none of the prompts.

    Args:
        scores: (phrase, rows, cols).
        members: Numbers of the phrases of each prompt.
        owners: Number of the prompt of each phrase.
        seen: (rows, cols): cells that count.
        settings: Of the model and the job.
    """
    best = np.stack([scores[numbers].max(axis=0) for numbers in members])
    if settings.gate_side:
        tau = _HALF if settings.gate_tau is None else settings.gate_tau
        found = [(float(top), tau) for top in strongholds(best, seen, settings)]
    else:
        found = [_highest(rows[seen], settings.gate_tau) for rows in best]
    is_prompt = [owners[numbers[0]] >= 0 for numbers in members]
    return [
        float(1 / (1 + np.exp(-(top - least) / settings.gate_scale))) if asked else 1.0
        for asked, (top, least) in zip(is_prompt, found, strict=True)
    ]


def strongholds(best: Floats, seen: NDArray[np.bool_], settings: WordSettings) -> Floats:
    """The highest mean probability that each answer has in some neighbourhood of a window.

    What a window has is the likeliest answer of a whole patch; what it only resembles wins a thin line where two things
    meet, or is second best everywhere. The highest cosines cannot tell these apart, their neighbourhood does.

    Args:
        best: Score of each answer (answer, rows, cols).
        seen: (rows, cols): cells that count.
        settings: Temperature, null and the side of a neighbourhood.

    Returns:
        (answer,), 0 to 1.
    """
    stands = best if settings.null is None else np.concatenate([best, np.full_like(best[:1], settings.null)])
    logits: Floats = (stands / np.float32(settings.temperature)).astype(np.float32)
    likely = np.where(seen, _softmax(logits)[: len(best)], 0).astype(np.float32)
    side = settings.gate_side
    size, cells = (0, side, side), side * side
    sums = uniform_filter(likely, size, mode="constant") * cells
    count = uniform_filter(seen.astype(np.float32), size[1:], mode="constant") * cells
    means = sums / np.maximum(count, cells / 2)  # half a neighbourhood at the rim is enough, less counts less
    highest: Floats = means.reshape(len(best), -1).max(axis=1)
    return highest


def _highest(scores: Floats, tau: float | None) -> tuple[float, float]:
    """Mean of the highest of some cosines, and what it has to reach."""
    count = max(1, round(_TOP_SHARE * scores.size))
    top = float(np.sort(scores)[-count:].mean(dtype=np.float64))
    if tau is None:
        middle = float(np.median(scores))
        tau = middle + 2 * float(np.median(np.abs(scores - np.float32(middle))))
    return top, tau


def to_pixels(scores: Floats, guide: Floats | None, stride_px: int, eps: float) -> Floats:
    """Scores of cells as scores of pixels: bilinear between the middles of cells, then along the edges of the guide.

    Args:
        scores: (phrase, rows, cols).
        guide: (rows x stride, cols x stride) brightness, 0 to 1; ``None`` for bilinear alone.
        stride_px: Side of a cell.
        eps: Variance of the guide below which there is no edge.

    References:
        He, Sun, Tang: Guided image filtering, doi:10.1109/TPAMI.2012.213.
    """
    rows, cols = scores.shape[1:]
    fine = _stretched(scores, _counting(rows, stride_px), _counting(cols, stride_px))
    if guide is None:
        return fine
    size = 2 * (stride_px // 2) + 1 + 2 * (stride_px % 2)

    def smooth(values: Floats) -> Floats:
        made: Floats = uniform_filter(values, (0, size, size), mode="nearest")
        return made

    mean = smooth(guide[None])[0]
    variance = np.maximum(smooth((guide * guide)[None])[0] - mean * mean, 0)
    # The mean of what is bilinear is as bilinear: as cheap as itself.
    means = _stretched(scores, _counting(rows, stride_px, size), _counting(cols, stride_px, size))
    fine *= guide
    slope = smooth(fine)
    slope -= means * mean
    slope /= variance + np.float32(eps)
    means -= slope * mean
    made = smooth(slope)
    made *= guide
    made += smooth(means)
    return made


def _stretched(scores: Floats, rows: csr_array, cols: csr_array) -> Floats:
    """Scores (phrase, row, col) of pixels, from what each cell counts for them along both axes."""
    phrases, (height, cells_down), (width, cells_across) = len(scores), rows.shape, cols.shape
    tall = rows @ scores.transpose(1, 0, 2).reshape(cells_down, -1)
    across = tall.reshape(height, phrases, cells_across).transpose(2, 1, 0).reshape(cells_across, -1)
    made = (cols @ across).reshape(width, phrases, height).transpose(1, 2, 0)
    return np.ascontiguousarray(made, dtype=np.float32)


@cache
def _counting(count: int, stride_px: int, size: int = 1) -> csr_array:
    """What each cell counts for each pixel along an axis, (pixel, cell): bilinear, then the mean of so many pixels."""
    place = np.clip((np.arange(count * stride_px) + 0.5) / stride_px - 0.5, 0, count - 1)
    low = np.floor(place).astype(np.intp)
    weights, pixels = np.zeros((place.size, count), np.float32), np.arange(place.size)
    weights[pixels, np.minimum(low + 1, count - 1)] = place - low
    weights[pixels, low] += 1 - (place - low)
    return csr_array(uniform_filter1d(weights, size, axis=0, mode="nearest"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What scores say of pixels.

    Attributes:
        classes: uint8 (y, x): 0 for none of the prompts, else the prompt's number and 1.
        percent: uint8 (y, x): probability of that; of none, where the best was refused: that it is not the best.
            ``NO_CONFIDENCE`` where a score is no number.
        probabilities: float32 (1 + prompt, y, x).
        phrase: uint8 (y, x): number of the phrase that won, 255 where none did.
        cosine: uint8 (y, x): its score in percent, 0 below 0; 255 where none won.
    """

    classes: NDArray[np.uint8]
    percent: NDArray[np.uint8]
    probabilities: Floats
    phrase: NDArray[np.uint8]
    cosine: NDArray[np.uint8]


def choose(scores: Floats, owners: Sequence[int], settings: WordSettings, prompts: int | None = None) -> Verdict:
    """The classes of pixels, each by itself.

    Args:
        scores: (phrase, y, x); phrases of the owner -1 stand for none of the prompts.
        owners: Number of the prompt of each phrase, -1 for phrases of the background.
        settings: Of the model and the job.
        prompts: How many there are, where not all have a phrase that the model knows.
    """
    prompts = max(owners, default=-1) + 1 if prompts is None else prompts
    best = np.full((prompts + 1, *scores.shape[1:]), -np.inf, np.float32)
    if settings.null is not None:
        best[0] = settings.null
    winner = np.full((prompts + 1, *scores.shape[1:]), NO_CONFIDENCE, np.uint8)
    for number, owner in enumerate(owners):
        better = ~(scores[number] <= best[owner + 1])  # NaN stays
        best[owner + 1] = np.where(better, scores[number], best[owner + 1])
        winner[owner + 1][better] = number
    good = np.isfinite(scores).all(axis=0)
    logits: Floats = (np.where(good, best, 0) / np.float32(settings.temperature)).astype(np.float32)
    probabilities = _softmax(logits)
    first = probabilities[1:].argmax(axis=0) if prompts else np.zeros(good.shape, np.intp)
    rows, cols = np.ogrid[: good.shape[0], : good.shape[1]]
    likely = probabilities[first + 1, rows, cols] if prompts else np.zeros(good.shape, np.float32)
    rest = probabilities.copy()
    if prompts:
        rest[first + 1, rows, cols] = 0
    found = (likely > rest[0]) & (likely >= settings.least) & (likely - rest.max(axis=0) >= settings.lead)
    classes = np.where(found, first + 1, 0).astype(np.uint8)
    sure = np.where(found, likely, np.maximum(probabilities[0], 1 - likely))
    is_prompt = found & good
    chosen = best[classes, rows, cols]
    return Verdict(
        classes,
        np.where(good, np.rint(sure * 100), NO_CONFIDENCE).astype(np.uint8),
        np.where(good, probabilities, np.nan).astype(np.float32),
        np.where(is_prompt, winner[classes, rows, cols], NO_CONFIDENCE).astype(np.uint8),
        np.where(is_prompt, np.rint(np.clip(chosen, 0, 1) * 100), NO_CONFIDENCE).astype(np.uint8),
    )


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=0))
    made: Floats = shifted / shifted.sum(axis=0)
    return made


def _members(owners: Sequence[int]) -> list[list[int]]:
    """Numbers of the phrases of each prompt."""
    return [[number for number, owner in enumerate(owners) if owner == prompt] for prompt in sorted(set(owners))]
