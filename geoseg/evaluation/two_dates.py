"""What makes change maps of labelled pairs: networks of two dates, land cover of both dates compared, and detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from geoseg.errors import ModelMismatchError
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import MapPart, ModelMapper, Reading, count_bands
from geoseg.grid import Window
from geoseg.heads.detector import CLASSES
from geoseg.labels import Labelled, LabelSet
from geoseg.models import ModelFolder
from geoseg.pipeline.fitting import with_fitted
from geoseg.pipeline.pair import Asked, prepare_job
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.subject import detector_folder
from geoseg.pixels import FAILED_CLASS, NO_CLASS
from geoseg.settings import Settings
from geoseg.spec import POST_CLASSIFICATION, JobSpec

type Align = Literal["correct", "measure"]


@runtime_checkable
class _OfTwoFiles(Protocol):
    """A pair that lies in two rasters."""

    @property
    def paths(self) -> tuple[Path, Path] | None: ...


class ChangeMapper(ModelMapper):
    """A network of two dates by the road of ``geoseg run --workflow change``: each pair is aligned as a job aligns it.

    Args:
        folder: The network.
        legend: What its classes mean.
        how: How files are read.
        settings: Where it runs.
        name: As it stands in tables; default the model's own.
        align: Whether dates that lie apart are moved or refused, or taken as they lie.
    """

    def __init__(
        self,
        folder: ModelFolder,
        legend: Legend,
        how: Reading,
        settings: Settings | None = None,
        name: str = "",
        align: Align = "correct",
    ) -> None:
        super().__init__(folder, legend, how, settings, name)
        self._align = align

    def _options(self, member: Labelled) -> dict[str, Any]:
        files = _files(member)
        count = len(member.bands)
        scenes = files or (
            self._written(member, "before", slice(count)),
            self._written(member, "after", slice(count, 2 * count)),
        )
        is_placed = member.crs is not None and files is not None
        return {
            "workflow": "change",
            "model": str(self.folder.path),
            "scenes_before": (str(scenes[0]),),
            "scenes_after": (str(scenes[1]),),
            "align": self._align,
            **self._read_as(member, is_placed=is_placed),
        }

    def _prepare(self, options: Mapping[str, Any]) -> Prepared:
        prepared = prepare_job(JobSpec.build(**options), Asked(self._settings), self._model)
        with ExitStack() as undo:
            undo.callback(prepared.remote.close)
            fitted = with_fitted(prepared, None)
            undo.pop_all()
        return fitted

    @property
    def _model(self) -> ModelFolder | None:
        """What the job runs."""
        return self.folder


class DetectorMapper(ChangeMapper):
    """A detector without weights, fitted to each pair as a job fits it.

    Args:
        detector: One of ``geoseg.change.detectors.DETECTORS``.
        labels: The pairs.
        settings: Where it runs.
        align: See ``ChangeMapper``.
    """

    kind = "detector"

    def __init__(
        self, detector: str, labels: LabelSet, settings: Settings | None = None, align: Align = "correct"
    ) -> None:
        folder = detector_folder(detector, labels.bands, labels.quantity)
        super().__init__(folder, change_legend(labels, detector), Reading.of(labels), settings, detector, align)

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """See ``ModelMapper``; nothing of weights."""
        return {name: value for name, value in super().facts.items() if name in {"backend", "mpx_per_s"}}

    @property
    def _model(self) -> None:
        return

    def _options(self, member: Labelled) -> dict[str, Any]:
        return {**super()._options(member), "model": None, "detector": self.name}


class ComparedMapper(ChangeMapper):
    """A land cover model on both dates: change is where the class is another one.

    The score of change is the probability that two draws, one from the classes of each date, differ; it is at least one half
    wherever the classes do.

    Args:
        folder: The land cover model.
        labels: The pairs.
        settings: Where it runs.
        name: As it stands in tables; default the model's own.
        align: See ``ChangeMapper``.
    """

    def __init__(
        self,
        folder: ModelFolder,
        labels: LabelSet,
        settings: Settings | None = None,
        name: str = "",
        align: Align = "correct",
    ) -> None:
        legend = change_legend(labels, folder.spec.name)
        called = f"{name or folder.spec.name} on both dates"
        super().__init__(folder, legend, Reading.of(labels), settings, called, align)

    def _options(self, member: Labelled) -> dict[str, Any]:
        return {**super()._options(member), "detector": POST_CLASSIFICATION}

    def maps(self, member: Labelled) -> Iterator[MapPart]:
        """See ``Mapper``."""
        prepared, area = self._prepared(member)
        with prepared.remote:
            dates = [self._parts(one, area) for one in prepared.of_dates]
            waiting: dict[Window, MapPart] = {}  # the other date's part of the same window, if it came first
            for part in filter(None, chain.from_iterable(zip_longest(*dates))):
                other = waiting.pop(part.window, None)
                if other is None:
                    waiting[part.window] = part
                else:
                    yield _compared(other, part)


def _compared(one: MapPart, other: MapPart) -> MapPart:
    """Where two dates have different classes; it does not matter which date is which."""
    seen = [(part.classes != NO_CLASS) & (part.classes != FAILED_CLASS) for part in (one, other)]
    valid = seen[0] & seen[1]
    classes = np.where(valid, np.where(one.classes != other.classes, np.uint8(1), np.uint8(0)), np.uint8(NO_CLASS))
    classes[(one.classes == FAILED_CLASS) | (other.classes == FAILED_CLASS)] = FAILED_CLASS
    differ = np.where(valid, 1 - (one.scores * other.scores).sum(axis=0), np.float32(np.nan)).astype("float32")
    return MapPart(one.window, classes, np.stack([1 - differ, differ]))


def change_legend(labels: LabelSet, name: str) -> Legend:
    """No change and change as the two classes of some labels, whatever they are called.

    Args:
        labels: Pairs; their first class means no change.
        name: What says no more than that, for messages.

    Raises:
        ModelMismatchError: If the labels have kinds of change.
    """
    names = [entry.name for entry in labels.classes]
    if len(names) != len(CLASSES):
        raise ModelMismatchError(
            f"{name}, which tells change from no change, for labels of {', '.join(names)}",
            "labels of two classes, the first of which means no change",
            "merge the kinds of change into one class (values of the data)",
        )
    return Legend.same(names)


def change_mapper(
    folder: ModelFolder,
    labels: LabelSet,
    crosswalk: Mapping[str, str],
    settings: Settings,
    name: str = "",
    align: Align = "correct",
) -> ChangeMapper:
    """A model for pairs: a network of two dates, or land cover of both.

    Raises:
        ModelMismatchError: If it cannot say what the labels say.
    """
    if folder.spec.dates == 1:
        return ComparedMapper(folder, labels, settings, name, align)
    names = [entry.name for entry in labels.classes]
    legend = Legend.between([info.name for info in folder.spec.classes], names, crosswalk)
    return ChangeMapper(folder, legend, Reading.of(labels), settings, name, align)


def _files(member: Labelled) -> tuple[Path, Path] | None:
    """The rasters of both dates, where they hold just the bands of the pair."""
    imagery = getattr(member, "imagery", None)
    paths = imagery.paths if isinstance(imagery, _OfTwoFiles) else None
    if paths is None or any(count_bands(path) != len(member.bands) for path in paths):
        return None
    return paths
