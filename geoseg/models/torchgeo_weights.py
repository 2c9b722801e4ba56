"""torchgeo's ready-made segmentation weights as model folders, by name: ``torchgeo:Unet_Weights.NAME``.

torchgeo states neither neighbourhood nor, for most of them, classes and resolution; these facts are here. Its files
are pickles, so they run only when the user allows that, and they are fetched by geoseg's own code and checked against
the part of the checksum that is in their names. Weights without such a part, or without a stated scaling, are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import UnknownModelError
from geoseg.models.folder import ModelFolder
from geoseg.models.networks.torchgeo_models import unet_facts
from geoseg.models.spec import ClassInfo, Kind, ModelSpec, WeightsRef
from geoseg.models.steps import Step

_ENUM = "Unet_Weights."
_STRIDE_PX = 32
_CHIP_PX, _CHIP_STEP_PX = 256, 128

_FIELDS = (
    ClassInfo(0, "background", "#f2efe9"),
    ClassInfo(1, "field", "#7fb069"),
    ClassInfo(2, "boundary", "#8c510a"),
)
_ROADS = (ClassInfo(0, "background", "#f2efe9"), ClassInfo(1, "road", "#c0392b"))
#: Two dates of the same four bands, as the rooms that read scenes name them.
_TWO_DATES = ("A.B04", "A.B03", "A.B02", "A.B08", "B.B04", "B.B03", "B.B02", "B.B08")


@dataclass(frozen=True)
class _Encoder:
    """Facts of smp's U-Net with an encoder, as ``geoseg.models.check`` measures them; they hold for any weights."""

    kind: Kind
    radius_px: tuple[int, int, int, int]
    workspace_bytes_per_px: float


_ENCODERS: Mapping[str, _Encoder] = {
    "resnet18": _Encoder("finite", (311, 311, 280, 280), 550.0),
    "efficientnet-b3": _Encoder("global", (0, 0, 0, 0), 650.0),
    "efficientnet-b5": _Encoder("global", (0, 0, 0, 0), 1000.0),
    "efficientnet-b7": _Encoder("global", (0, 0, 0, 0), 1050.0),
}


@dataclass(frozen=True)
class _Task:
    """What a family of weights is for."""

    title: str
    bands: tuple[str, ...]
    divisor: float
    classes: tuple[ClassInfo, ...]
    resolution_m: float
    expects: str | None


_FIELDS_TASK = _Task("Field boundaries from two Sentinel-2 dates", _TWO_DATES, 3000.0, _FIELDS, 10.0, "sentinel-2-l2a")
_ROADS_TASK = _Task("Roads from NAIP aerial images", ("red", "green", "blue", "nir"), 255.0, _ROADS, 1.0, "naip")


def torchgeo_folder(reference: str, *, search: tuple[Path, ...], cache: Path | None, offline: bool) -> ModelFolder:
    """The model that a name of torchgeo's means. Nothing is fetched.

    Args:
        reference: ``Unet_Weights.NAME``, or ``NAME`` alone.
        search: As for ``ModelFolder``.
        cache: As for ``ModelFolder``.
        offline: As for ``ModelFolder``.

    Raises:
        UnknownModelError: If torchgeo has no such weights, or geoseg lacks facts about them.
    """
    known = {name: facts for name, facts in unet_facts().items() if facts.sha256_prefix and _task(name) is not None}
    name = reference.removeprefix(_ENUM)
    task = _task(name)
    if name not in known or task is None:
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or sorted(known)
        raise UnknownModelError(
            f"the model 'torchgeo:{reference}'",
            f"one of {', '.join(f'torchgeo:{_ENUM}{entry}' for entry in nearest)}",
            "take one of these, or make a model folder for other weights",
        )
    facts = known[name]
    encoder = _ENCODERS[facts.encoder]
    whole = encoder.kind == "global"
    spec = ModelSpec(
        name=f"torchgeo-{name.lower().replace('_', '-')}",
        title=task.title,
        licence=facts.licence,
        source=facts.source,
        bands=task.bands,
        quantity="digital-number",
        transform=(Step.of("divide", by=task.divisor),),
        classes=task.classes[: facts.classes],
        kind=encoder.kind,
        stride_px=_STRIDE_PX,
        radius_px=encoder.radius_px,
        chip_px=_CHIP_PX if whole else None,
        chip_step_px=_CHIP_STEP_PX if whole else None,
        workspace_bytes_per_px=encoder.workspace_bytes_per_px,
        resolution_m=task.resolution_m,
        expects=task.expects,
        architecture="torchgeo:unet",
        hyperparameters={"encoder_name": facts.encoder},
        weights=WeightsRef(facts.file_name, facts.sha256_prefix, None, facts.href, "pickle"),
    )
    return ModelFolder(Path(f"torchgeo:{_ENUM}{name}"), spec, search, cache, offline)


def _task(name: str) -> _Task | None:
    """What weights of that name are for, where geoseg knows it."""
    if "FTW" in name:
        return _FIELDS_TASK
    return _ROADS_TASK if "CHESAPEAKERSC" in name else None
