"""From a configuration to evaluations: which images are held out, what each class means, and the baselines beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from geoseg.change.detectors import DETECTORS
from geoseg.errors import ModelMismatchError, RequestError, unknown_name
from geoseg.evaluation.baselines import ForestMapper, MajorityMapper
from geoseg.evaluation.class_sets import check_miss, make_class_sets
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import Mapper, ModelMapper, Reading
from geoseg.evaluation.record import EvaluationRecord, make_record
from geoseg.evaluation.scoring import Evaluation, Measures, evaluate
from geoseg.evaluation.two_dates import DetectorMapper, change_mapper
from geoseg.labels import LabelSet
from geoseg.labels.base import joined
from geoseg.labels.config import Strict, checked, read_data, read_yaml
from geoseg.labels.pairs import CHANGE
from geoseg.models import ModelFolder
from geoseg.settings import Settings
from geoseg.spec import POST_CLASSIFICATION, DetectorName

type Say = Callable[[str], object]


class EvaluateConfig(Strict):
    """The ``evaluate`` block of a configuration."""

    crosswalk: dict[str, str] = Field(
        default_factory=dict,
        description="Class of the network: class of the labels, or an empty text for none; * for all others. Default: equal names.",
    )
    boundary_px: int = Field(2, ge=1, le=64, description="Tolerance of borders.")
    folds: int = Field(4, ge=2, description="Folds of groups for the baselines, where nothing is held out.")
    seed: int = Field(0, ge=0, description="Of the pixels and resamples that are drawn.")
    detectors: tuple[DetectorName, ...] = Field(
        ("ir-mad", "change-vectors-standardised"),
        description="Of pairs: detectors without weights that stand beside the models.",
    )
    align: Literal["correct", "measure"] = Field(
        "correct", description="Of pairs: whether dates that lie apart are moved or refused, or taken as they lie."
    )


@dataclass(frozen=True)
class Task:
    """Images to evaluate on, and those that baselines may be trained on.

    Attributes:
        held: Images to evaluate on.
        train: Other images of the same kind; ``None`` where nothing is held out.
        config: What is a matter of choice.
    """

    held: LabelSet
    train: LabelSet | None
    config: EvaluateConfig

    @classmethod
    def read(cls, path: Path, hold_out: Sequence[str] = ()) -> Self:
        """Of a configuration file, the one that training takes.

        Args:
            path: YAML with a ``data`` block and perhaps an ``evaluate`` block; other blocks are training's.
            hold_out: Groups to evaluate on, in place of those that the file holds out.

        Raises:
            RequestError: If the file cannot be read, or there are no such groups.
        """
        document = read_yaml(path)
        if "data" not in document:
            raise RequestError(f"the configuration {path} without data", "a block data", "say where the labels are")
        train, held = read_data(document["data"], path.absolute().parent)
        if hold_out:
            train, held = joined([train, *([held] if held else [])]).hold_out(hold_out)
        config = checked(EvaluateConfig, document.get("evaluate", {}), "evaluate")
        return cls(held, train, config) if held is not None else cls(train, None, config)

    @property
    def measures(self) -> Measures:
        """See ``EvaluateConfig``."""
        return Measures(self.config.boundary_px, self.config.seed)

    @property
    def folds(self) -> int | None:
        """Folds that baselines are trained across; ``None`` where images are held out, or there is one group only."""
        count = min(self.config.folds, len(self.held.groups))
        return None if self.train is not None or count < 2 else count

    def mapper(self, folder: ModelFolder, settings: Settings, name: str = "") -> ModelMapper:
        """A model for these images.

        Raises:
            ModelMismatchError: If it has none of their classes, or wants reflectance and they have none.
        """
        if folder.spec.quantity == "reflectance" != self.held.quantity:
            raise ModelMismatchError(
                f"images of {self.held.quantity} for the model {folder.spec.name}",
                "reflectance, which it wants",
                "say how it is made of the numbers: quantity, scale, offset and expects in the data of the configuration",
            )
        if self.held.dates == 2:
            return change_mapper(folder, self.held, self.config.crosswalk, settings, name, self.config.align)
        if folder.spec.dates == 2:
            raise ModelMismatchError(
                f"the model {folder.spec.name}, which compares two dates, for images of one",
                "pairs of images with the labels of what changed between them",
                "read the data with a reader of pairs, or choose another model",
            )
        network = [info.name for info in folder.spec.classes]
        labels = [entry.name for entry in self.held.classes]
        legend = Legend.between(network, labels, self.config.crosswalk)
        return ModelMapper(folder, legend, Reading.of(self.held), settings, name)

    def detectors(self, settings: Settings, names: Sequence[str] = ()) -> list[ModelMapper]:
        """What finds change in these pairs without weights; none where there are no pairs.

        Args:
            settings: Where they run.
            names: Detectors instead of those of the configuration.

        Raises:
            RequestError: If detectors are named and there are no pairs.
            ModelMismatchError: If they are named and the labels have kinds of change.
        """
        if self.held.dates == 1:
            if names:
                raise RequestError(
                    f"the detector {names[0]} for images of one date", "pairs of images", "drop --detector"
                )
            return []
        wanted = names or (self.config.detectors if len(self.held.classes) == len(CHANGE) else ())
        for name in wanted:
            if name not in DETECTORS:
                todo = "name a land cover model with --model" if name == POST_CLASSIFICATION else "choose one of them"
                raise unknown_name("the detector", name, DETECTORS, todo)
        return [DetectorMapper(name, self.held, settings, self.config.align) for name in wanted]

    def baselines(self, say: Say = lambda _: None) -> list[Evaluation]:
        """What networks are held against, trained on other groups than they are tried on wherever there are others."""
        if self.folds is not None:
            splits = [self.held.hold_out(groups) for groups in self.held.folds(self.folds)]
            return [
                Evaluation.merged([self._baseline(fit, train, held, say) for train, held in splits])
                for fit in (self._forest, MajorityMapper.fit)
            ]
        if self.train is not None:
            return [self._baseline(fit, self.train, self.held, say) for fit in (self._forest, MajorityMapper.fit)]
        return [self._baseline(MajorityMapper.fit, self.held, self.held, say)]

    def _forest(self, train: LabelSet) -> ForestMapper:
        return ForestMapper.fit(train, self.config.seed)

    def _baseline(self, fit: Callable[[LabelSet], Mapper], train: LabelSet, held: LabelSet, say: Say) -> Evaluation:
        say(f"a baseline on {len(train.members)} images")
        return evaluate(fit(train), held, self.measures, say)

    @property
    def notes(self) -> list[str]:
        """What a person should know before they believe the numbers."""
        if self.train is not None:
            return []
        words = "nothing is held out: a network may have been trained on these very images"
        if self.folds is not None:
            return [f"{words}; baselines never were (they are trained across {self.folds} folds of groups)"]
        return [f"{words}, and the majority class is theirs"]


def compare(
    task: Task,
    folders: Sequence[ModelFolder],
    settings: Settings,
    *,
    miss: float | None = None,
    names: Sequence[str] = (),
    detectors: Sequence[str] = (),
    say: Say = lambda _: None,
) -> EvaluationRecord:
    """Some models and the baselines on the same images.

    Args:
        task: The images.
        folders: The models.
        settings: Where they run.
        miss: Make class sets that may lack the true class of such a share of pixels.
        names: Of the models, as they stand in tables; default their own.
        detectors: Of pairs: detectors instead of those of the configuration.
        say: Told what is being done.

    Raises:
        GeosegError: If a model cannot be run on the images.
    """
    if miss is not None:
        check_miss(miss)
    called = names or [""] * len(folders)
    mappers = [task.mapper(folder, settings, name) for folder, name in zip(folders, called, strict=True)]
    mappers += task.detectors(settings, detectors)  # what does not fit is refused before anything is computed
    evaluations = []
    for mapper in mappers:
        with mapper:
            evaluations.append(evaluate(mapper, task.held, task.measures, say))
    evaluations += task.baselines(say)
    sets = [None if miss is None or e.kind != "network" else make_class_sets(e, miss) for e in evaluations]
    train = task.train
    return make_record(
        evaluations,
        task.held,
        training_images=len(train.members) if train is not None else 0,
        across_folds=task.folds,
        class_sets=sets,
        notes=[*task.notes, *_words(evaluations)],
    )


def _words(evaluations: Sequence[Evaluation]) -> list[str]:
    """Of each network: what it could not see or say."""
    words = []
    for one in evaluations:
        lacks = [name for at, name in enumerate(one.legend.classes) if at not in one.legend.index]
        if lacks:
            words.append(f"{one.name} has no class for {', '.join(lacks)}: their pixels count as wrong")
        if one.kind == "network" and (large := sum(member.objects is None for member in one.members)):
            words.append(f"{large} image(s) too large to be cut into objects")
    return words
