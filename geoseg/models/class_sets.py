"""Class sets of a model, as its item keeps them: thresholds that ``geoseg models calibrate --conformal`` fits."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geoseg.errors import ModelSpecError
from geoseg.models.folder import ITEM, ModelFolder, read_item
from geoseg.models.spec import ModelSpec

#: Property of a model's item.
CLASS_SETS = "geoseg:class_sets"


@dataclass(frozen=True, slots=True)
class ClassSets:
    """Which classes a pixel's set holds: those whose probability reaches a threshold.

    Attributes:
        classes: Names.
        thresholds: Least probability of each; ``None`` where there were too few scenes to promise anything: it is in
            every set.
        miss: Share of the pixels of a class whose sets may lack it.
        fitted_on: In words.
    """

    classes: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    miss: float
    fitted_on: str = ""

    def least_of(self, names: Sequence[str]) -> tuple[float, ...] | None:
        """The thresholds of classes in another order, 0 for those of every set; ``None`` where these are others."""
        own = dict(zip(self.classes, self.thresholds, strict=True))
        return None if set(names) != set(own) else tuple(own[name] or 0.0 for name in names)


def temperature_of(spec: ModelSpec) -> list[float]:
    """The temperatures at which a model's probabilities are, as JSON: one, or one for each class."""
    return list(spec.temperatures) or [spec.temperature]


def stored_class_sets(folder: ModelFolder) -> ClassSets | None:
    """What a model's item keeps; ``None`` where it keeps none, or has no file.

    Raises:
        ModelSpecError: If it is not what calibrating writes, or was fitted at other temperatures than the model has now.
    """
    known: Any = read_item(folder.path)["properties"].get(CLASS_SETS) if (folder.path / ITEM).is_file() else None
    if known is None:
        return None
    try:
        found = ClassSets(
            tuple(map(str, known["classes"])),
            tuple(None if least is None else float(least) for least in known["thresholds"]),
            float(known["miss"]),
            str(known.get("fitted_on", "")),
        )
        good = len(set(found.classes)) == len(found.classes) == len(found.thresholds) and 0 < found.miss < 1
        good = good and all(math.isfinite(least) for least in found.thresholds if least is not None)
    except (TypeError, ValueError, KeyError, AttributeError):
        good = False
    if not good:
        text = json.dumps(known)[:80]
        raise ModelSpecError(
            f"model {folder.spec.name!r}: {CLASS_SETS} {text}",
            "classes, as many thresholds, and a miss between 0 and 1",
            "fit them anew with geoseg models calibrate --conformal",
        )
    if known.get("temperature") != temperature_of(folder.spec):
        raise ModelSpecError(
            f"model {folder.spec.name!r}: {CLASS_SETS} at the temperature {known.get('temperature')}",
            f"the model's own, {temperature_of(folder.spec)}",
            "fit them anew with geoseg models calibrate --conformal",
        )
    return found


def digest_of_thresholds(least: Sequence[float]) -> str:
    """A short name for some thresholds."""
    return hashlib.sha256(json.dumps(list(least)).encode()).hexdigest()[:16]
