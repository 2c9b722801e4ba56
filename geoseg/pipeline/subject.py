"""What computes the tiles of a change map where no network does: a detector, told of as if it were a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from geoseg.heads.detector import CLASSES
from geoseg.models import ModelFolder, ModelSpec, WeightsRef
from geoseg.models.spec import Quantity
from geoseg.scenes import Item

_PREFIX = "detector:"
# Float64 copies of both dates, and of what is made of them.
_WORKSPACE_BYTES_PER_BAND = 48.0
_TITLES = {
    "ir-mad": "Change by IR-MAD",
    "ir-mad-otsu": "Change by IR-MAD, Otsu's threshold",
    "change-vectors": "Change vectors",
    "change-vectors-fitted": "Change vectors in one light",
    "change-vectors-standardised": "Standardised change vectors",
    "difference": "Difference of brightness",
    "ndvi-difference": "Difference of the NDVI",
}


def detector_folder(name: str, bands: Sequence[str], quantity: Quantity) -> ModelFolder:
    """A detector as a model without weights, from which a job is planned like any other.

    Args:
        name: One of ``geoseg.change.detectors.DETECTORS``.
        bands: Bands that it compares.
        quantity: Unit of their values.
    """
    nothing = WeightsRef("none", hashlib.sha256(b"").hexdigest(), 0, "none", "safetensors")
    spec = ModelSpec(
        name=name,
        title=_TITLES[name],
        licence="Apache-2.0",
        source="",
        bands=tuple(bands),
        quantity=quantity,
        transform=(),
        classes=CLASSES,
        kind="finite",
        stride_px=1,
        architecture=_PREFIX + name,
        weights=nothing,
        workspace_bytes_per_px=_WORKSPACE_BYTES_PER_BAND * 2 * len(bands),
        notes=(
            "A detector without weights sees change of any kind: seasons, tides and clouds that no mask knows too.",
        ),
        dates=2,
    )
    return ModelFolder(Path(name), spec)


def is_detector(folder: ModelFolder) -> bool:
    """Whether a model is none: it has no weights, and its head is a detector that the job fits."""
    return folder.spec.architecture.startswith(_PREFIX)


def quantity_of(items: Sequence[Item]) -> Quantity:
    """The unit in which images of several sensors are compared: reflectance where all have it."""
    return "reflectance" if all(item.sensor.quantity == "reflectance" for item in items) else "digital-number"
