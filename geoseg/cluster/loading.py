"""What runs the network, as a description that can be sent: it is loaded where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from geoseg.change.detectors import Detector
from geoseg.errors import WeightsError
from geoseg.models import ModelFolder
from geoseg.models.backends import Backend
from geoseg.models.legends import Legend
from geoseg.models.registry import BUILTIN
from geoseg.settings import Settings
from geoseg.tiles import ChipPlan

if TYPE_CHECKING:
    from geoseg.heads import Head
    from geoseg.heads.words import WordsHead
    from geoseg.predict import Arrays, Predictor
    from geoseg.words import WordsPlan


@dataclass(frozen=True)
class ModelLoader:
    """How to make the predictor of a job.

    Attributes:
        model: The model's folder.
        chips: Chip shapes.
        backend: What runs the network.
        pixel_m: Pixel size on the ground.
        threads: Threads of one forward pass.
        layers: Further layers to keep.
        allow_pickle: Whether weights may be a pickle.
        keeps_scores: See ``Predictor``.
        legend: In which the classes are told; ``None`` for the model's own.
        words: What is asked of a text-image model; ``None`` for models that have classes of their own.
        features_in: Store in which image features are kept for later prompts.
        features_bytes: Most of them that this process writes.
        detector: What finds change between two dates, instead of a network.
        least: Least probability of each class in a class set, where these are kept.
    """

    model: ModelFolder
    chips: ChipPlan
    backend: Backend
    pixel_m: float
    threads: int
    layers: Sequence[str] = ()
    allow_pickle: bool = False
    keeps_scores: bool = False
    legend: Legend | None = None
    words: WordsPlan | None = None
    features_in: str = ""
    features_bytes: int = 0
    detector: Detector | None = None
    least: tuple[float, ...] = ()

    def here(self) -> Self:
        """The same on this machine: weights are looked for where it keeps weights, built-in models where they lie."""
        own, model, export = Settings(), self.model, self.backend.export
        builtin = BUILTIN / model.path.name
        if not model.path.is_dir() and builtin.is_dir():
            if export is not None and export.path.is_relative_to(model.path):
                export = replace(export, path=builtin / export.path.relative_to(model.path))
            model = replace(model, path=builtin)
        cache = own.cache if model.cache is not None else None
        model = replace(model, search=(*model.search, *own.models), cache=cache)
        return replace(self, model=model, backend=replace(self.backend, export=export))

    def require(self) -> None:
        """See that the network is on this machine, or may be fetched.

        Raises:
            WeightsError: If it is not.
        """
        from geoseg.models.weights import require_weights  # noqa: PLC0415  # HTTP, where it is needed

        export = self.backend.export
        if self.detector is not None:
            return
        if export is None:
            require_weights(self.model)
        elif not export.path.is_dir():
            raise WeightsError(
                f"{export.path}, which is not there",
                f"the exported network of the model {self.model.spec.name!r}, on every worker",
                "put it on a path that all machines share, or run with --backend torch",
            )

    def load(self, passes: int) -> Predictor:
        """Load network and weights.

        Args:
            passes: Forward passes at the same time.

        Raises:
            GeosegError: If they are not here, or cannot be used.
        """
        from geoseg.predict import NumpyArrays, Predictor  # noqa: PLC0415  # a compiler

        arrays: Arrays = NumpyArrays()
        if self.backend.name == "torch":
            from geoseg.predict.tensors import Tensors  # noqa: PLC0415  # imports torch

            arrays = Tensors(self.backend.device)
        return Predictor(
            self._head(),
            self.chips,
            arrays,
            self.pixel_m,
            threads=self.threads,
            passes=passes,
            layers=self.layers,
            least=self.least,
            keeps_scores=self.keeps_scores,
        )

    def _head(self) -> Head:
        """What makes scores of chips."""
        if self.words is not None:
            return self.words_head()
        if self.detector is not None:
            from geoseg.heads.detector import DetectorHead  # noqa: PLC0415  # as below

            return DetectorHead(self.detector)
        from geoseg.heads import make_head  # noqa: PLC0415  # torch is loaded when pixels are about to be computed

        network = self.backend.load(self.model, self.threads, allow_pickle=self.allow_pickle)
        return make_head(network, self.legend)

    def words_head(self) -> WordsHead:
        """The head of a text-image model; loads nothing yet."""
        from geoseg.heads.words import WordsHead  # noqa: PLC0415  # imports torch
        from geoseg.models.networks.text_image.loading import load_text_image  # noqa: PLC0415
        from geoseg.models.text_image import MASKS  # noqa: PLC0415
        from geoseg.store import open_store  # noqa: PLC0415
        from geoseg.words import FeatureCache  # noqa: PLC0415

        assert self.words is not None  # noqa: S101  # who asks has prompts
        backend, spec = self.backend, self.model.spec
        made_by = f"{spec.digest} {backend.key} {backend.precision} {self.threads}"
        store = open_store(self.features_in) if self.features_in else None
        return WordsHead(
            lambda: load_text_image(self.model, backend.device, allow_pickle=self.allow_pickle),
            spec.stride_px,
            self.words,
            FeatureCache(store, made_by, self.features_bytes),
            draws=spec.architecture.endswith(f":{MASKS}"),
        )
