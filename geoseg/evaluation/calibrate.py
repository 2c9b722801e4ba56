"""A model whose confidences hold: temperatures fitted on held-out scenes, tried on others, and put into its item.

One temperature, or one for each class where that makes the labels of scenes that were not fitted on more likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoseg.errors import RequestError
from geoseg.evaluation.calibration import LEAST_SCORE, Fit, Sample, at_temperature, fit_temperature, fit_temperatures
from geoseg.evaluation.class_sets import ClassSetFacts, class_sets_on, folds_of, unit_of
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import uncalibrated
from geoseg.evaluation.reliability import Reliability
from geoseg.evaluation.scoring import Evaluation, evaluate
from geoseg.evaluation.task import Say, Task
from geoseg.models import ModelFolder
from geoseg.models.class_sets import CLASS_SETS, temperature_of
from geoseg.models.folder import read_item, write_item
from geoseg.models.item import PREFIX
from geoseg.models.registry import BUILTIN
from geoseg.settings import Settings

_PROPERTY = "geoseg:calibration"
#: A network of one logit gives 1 - p for the other class: what is smaller than half a step below 1 is not told from it.
_LEAST_OF_ONE_LOGIT = 2.0**-25


@dataclass(frozen=True)
class Calibration:
    """A temperature, or several, and what they are good for.

    Attributes:
        fit: Fitted on all scenes.
        before: Confidences without it, on pixels of all scenes.
        after: With temperatures that were fitted on the other scenes; of the fit itself where there is one scene only.
        scenes: Scenes, or groups of them, that were fitted on.
        is_tried: Whether ``after`` is of scenes that were not fitted on.
        samples: What was fitted on.
        legend: What classes of the network are.
        by_group: Whether scenes are groups, not images.
    """

    fit: Fit
    before: Reliability
    after: Reliability
    scenes: int
    is_tried: bool
    samples: tuple[Sample, ...]
    legend: Legend
    by_group: bool

    def class_sets(
        self, miss: float, temperature: float | tuple[float, ...], least: float = LEAST_SCORE
    ) -> ClassSetFacts:
        """Class sets of the model as it is used.

        Args:
            miss: See ``ClassSets``.
            temperature: With which it is used, or those of its classes.
            least: Smallest score that is told from nothing.
        """
        used = [
            replace(one, scores=at_temperature(one.scores, temperature, least).astype(np.float32))
            for one in self.samples
        ]
        return class_sets_on(used, self.legend, miss, by_group=self.by_group)

    @property
    def is_better(self) -> bool:
        """Whether the labels of scenes that were not fitted on became more likely."""
        return self.after.nll < self.before.nll


def calibrate(task: Task, folder: ModelFolder, settings: Settings, say: Say = lambda _: None) -> Calibration:
    """Fit a temperature on held-out images, mapped by the road of ``geoseg run``.

    Args:
        task: The images.
        folder: The model; a temperature that it has is forgotten.
        settings: Where it runs.
        say: Told what is being done.

    Raises:
        RequestError: If nothing is held out, or has a label.
    """
    if task.train is None:
        raise RequestError(
            "a calibration without held-out images",
            "images that the model was not trained on",
            "name groups with --hold-out, or held_out in the data of the configuration",
        )
    if task.held.dates != folder.spec.dates:
        raise RequestError(
            f"a calibration of {folder.spec.name}, which looks at {folder.spec.dates} date(s), on labels of {task.held.dates}",
            "labels of as many dates",
            "read the data with a reader of single images, or choose a network that compares two dates",
        )
    with task.mapper(uncalibrated(folder), settings) as mapper:
        evaluation = evaluate(mapper, task.held, task.measures, say)
    single = folder.spec.hyperparameters.get("classes") == 1
    return calibration_of(evaluation, _LEAST_OF_ONE_LOGIT if single else LEAST_SCORE)


def calibration_of(evaluation: Evaluation, least: float = LEAST_SCORE) -> Calibration:
    """Of what a network without a temperature said.

    Args:
        evaluation: Of that network.
        least: Smallest score that is told from nothing.

    Raises:
        RequestError: If there is no labelled pixel with scores.
    """
    return calibration_on(evaluation.samples, evaluation.legend, least, by_group=evaluation.drawn_by_group)


def calibration_on(
    given: Sequence[Sample], legend: Legend, least: float = LEAST_SCORE, *, by_group: bool = True
) -> Calibration:
    """Fit a temperature, and one for each class, and take what holds better on scenes that were not fitted on.

    Args:
        given: Pixels of held-out scenes, as networks without a temperature see them; those of the folds of one recipe, say.
        legend: What classes of the network are.
        least: Smallest score that is told from nothing.
        by_group: Scenes are groups, not images.

    Raises:
        RequestError: If there is no labelled pixel with scores.
    """
    samples = [sample for sample in given if len(sample.truth)]
    if not samples:
        raise RequestError("held-out images without labelled pixels", "at least one", "look at the label values")
    units = [unit_of(sample, by_group=by_group) for sample in samples]
    is_tried = len(set(units)) > 1
    made = []
    for fitted in (fit_temperature, fit_temperatures) if is_tried else (fit_temperature,):
        fit, after = fitted(samples, legend.matrix, least), Reliability.nothing()
        for left_out in folds_of(units) if is_tried else (frozenset(units),):
            kept = [s for s, unit in zip(samples, units, strict=True) if not is_tried or unit not in left_out]
            own = [s for s, unit in zip(samples, units, strict=True) if unit in left_out]
            after += _at(own, legend, fitted(kept, legend.matrix, least) if is_tried else fit, least)
        made.append((fit, after))
    fit, after = min(made, key=lambda one: one[1].nll)
    before = _at(samples, legend, None, least)
    return Calibration(fit, before, after, len(set(units)), is_tried, tuple(samples), legend, by_group)


def _at(samples: Sequence[Sample], legend: Legend, fit: Fit | None, least: float) -> Reliability:
    """Confidences of some pixels at temperatures; of pixels whose class the labels know."""
    temperature = 1.0 if fit is None else fit.temperatures or fit.temperature
    total = Reliability.nothing()
    for sample in samples:
        scores = at_temperature(sample.scores, temperature, least)
        found = np.array(legend.index)[scores.argmax(axis=1)]
        asked = found < len(legend.classes)
        total += Reliability.of(sample.truth[asked], found[asked], legend.scores(scores.T)[:, asked])
    return total


def store(folder: ModelFolder, made: Calibration, title: str = "") -> ModelFolder:
    """Put a temperature into the item of a folder of this machine. Class sets that it kept are forgotten.

    Args:
        folder: The model.
        made: Its calibration.
        title: What it was fitted on, in words.

    Raises:
        RequestError: If the folder is one of geoseg's own.
    """
    check_storable(folder)
    document = read_item(folder.path)
    properties = document["properties"]
    own, fit = properties.setdefault("mlm:hyperparameters", {}), made.fit
    own.pop(PREFIX + "temperature", None)
    own.pop(PREFIX + "temperatures", None)
    properties.pop(CLASS_SETS, None)  # thresholds of probabilities at another temperature
    if fit.temperatures:
        own[PREFIX + "temperatures"] = list(fit.temperatures)
    else:
        own[PREFIX + "temperature"] = fit.temperature
    properties[_PROPERTY] = {
        "fitted_on": title,
        "scenes": made.scenes,
        "pixels": made.before.pixels,
        "ece_before": made.before.ece,
        "ece_after": made.after.ece,
        "nll_before": made.before.mean_nll,
        "nll_after": made.after.mean_nll,
        "tried_on_other_scenes": made.is_tried,
    }
    write_item(folder.path, document)
    return replace(folder, spec=replace(folder.spec, temperature=fit.temperature, temperatures=fit.temperatures))


def store_class_sets(folder: ModelFolder, facts: ClassSetFacts, classes: Sequence[str], title: str = "") -> None:
    """Put thresholds of class sets into the item of a folder of this machine.

    Args:
        folder: The model.
        facts: Thresholds, and how often they held.
        classes: Names of the labels' classes, which the thresholds are of.
        title: What they were fitted on, in words.

    Raises:
        RequestError: If the folder is one of geoseg's own.
    """
    check_storable(folder)
    document = read_item(folder.path)
    document["properties"][CLASS_SETS] = {
        "fitted_on": title,
        "temperature": temperature_of(folder.spec),
        "classes": list(classes),
        **facts.model_dump(mode="json"),
    }
    write_item(folder.path, document)


def check_storable(folder: ModelFolder) -> None:
    """Refuse a folder that is not the user's.

    Raises:
        RequestError: If it is one of geoseg's own.
    """
    if folder.path.is_relative_to(BUILTIN):
        raise RequestError(
            f"the model {folder.path.name}, which is part of geoseg",
            "a model folder of your own",
            f"geoseg models add {folder.path.name} --name NAME makes a copy of it",
        )
