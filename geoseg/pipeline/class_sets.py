"""Class sets of a map: which classes each pixel may well have, by thresholds that the model was calibrated with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models import ClassInfo, ModelFolder
from geoseg.models.class_sets import digest_of_thresholds, stored_class_sets
from geoseg.pixels import SETS
from geoseg.spec import JobSpec


@dataclass(frozen=True, slots=True)
class SetsPlan:
    """What ``--layers sets`` needs.

    Attributes:
        least: Least probability of each class of the map in a set.
        words: What is promised, for people.
    """

    least: tuple[float, ...]
    words: str

    @property
    def key(self) -> str:
        """The layer as the keys of tiles name it: with its thresholds."""
        return f"{SETS} {digest_of_thresholds(self.least)}"


def sets_of(spec: JobSpec, folder: ModelFolder, classes: Sequence[ClassInfo]) -> SetsPlan | None:
    """The thresholds of a job; ``None`` where it asks for no sets.

    Args:
        spec: The job.
        folder: Its model.
        classes: Of the map.

    Raises:
        RequestError: If classes are given in words, which nothing was calibrated for.
        ModelMismatchError: If the model keeps no thresholds, or those of other classes.
    """
    if SETS not in spec.layers:
        return None
    if spec.prompt or spec.example:
        raise RequestError(
            "--layers sets with --prompt", "classes that were calibrated with the model", "drop one of the two"
        )
    name, stored = folder.spec.name, stored_class_sets(folder)
    if stored is None:
        raise ModelMismatchError(
            f"--layers sets with the model {name}, which keeps no class sets",
            "thresholds that were fitted on held-out scenes",
            f"geoseg models calibrate {name} CONFIG --conformal 0.1, on a model folder of your own",
        )
    names = [entry.name for entry in classes]
    least = stored.least_of(names)
    if least is None:
        raise ModelMismatchError(
            f"--layers sets with class sets of {', '.join(stored.classes)}",
            f"the classes of the map, {', '.join(names)}",
            "calibrate the model with labels of these classes, or map without --legend",
        )
    where = f" ({stored.fitted_on})" if stored.fitted_on else ""
    words = f"class sets: meant to hold the true class of {1 - stored.miss:.0%} of the pixels of each class in a new scene of "
    words += f"the kind that they were fitted on{where}, not of another region"
    always = [one for one, threshold in zip(stored.classes, stored.thresholds, strict=True) if threshold is None]
    if always:
        words += f"; {', '.join(always)} had too few scenes, and {'is' if len(always) == 1 else 'are'} in every set"
    return SetsPlan(least, words)
