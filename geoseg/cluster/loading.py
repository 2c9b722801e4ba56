"""What runs the network, as a description that can be sent: it is loaded where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from geoseg.models import ModelFolder
from geoseg.settings import Settings
from geoseg.tiles import ChipPlan

if TYPE_CHECKING:
    from geoseg.predict import Predictor


@dataclass(frozen=True)
class ModelLoader:
    """How to make the predictor of a job.

    Attributes:
        model: The model's folder.
        chips: Chip shapes.
        device: ``cpu`` or ``cuda``.
        pixel_m: Pixel size on the ground.
        threads: Threads of one forward pass.
        layers: Further layers to keep.
        allow_pickle: Whether weights may be a pickle.
    """

    model: ModelFolder
    chips: ChipPlan
    device: str
    pixel_m: float
    threads: int
    layers: Sequence[str] = ()
    allow_pickle: bool = False

    def here(self) -> Self:
        """The same, with weights looked for where this machine keeps weights, too."""
        own = Settings()
        cache = own.cache if self.model.cache is not None else None
        return replace(self, model=replace(self.model, search=(*self.model.search, *own.models), cache=cache))

    def require(self) -> None:
        """See that the weights are on this machine, or may be fetched.

        Raises:
            WeightsError: If they are not.
        """
        from geoseg.models.weights import require_weights  # noqa: PLC0415  # HTTP, where it is needed

        require_weights(self.model)

    def load(self, passes: int) -> Predictor:
        """Load network and weights.

        Args:
            passes: Forward passes at the same time.

        Raises:
            GeosegError: If they are not here, or cannot be used.
        """
        from geoseg.heads import make_head  # noqa: PLC0415  # torch is loaded when pixels are about to be computed
        from geoseg.models.network import load_network  # noqa: PLC0415
        from geoseg.predict import Predictor  # noqa: PLC0415

        network = load_network(self.model, self.device, allow_pickle=self.allow_pickle)
        return Predictor(
            make_head(network),
            self.chips,
            self.device,
            self.pixel_m,
            threads=self.threads,
            passes=passes,
            layers=self.layers,
        )
