"""torchgeo's ready-made segmentation weights as model folders, by name: ``torchgeo:Unet_Weights.NAME``.

torchgeo states neither neighbourhood nor, for most of them, classes and resolution; these facts are here. Its files
are pickles, so they run only when the user allows that, and they are fetched by geoseg's own code and checked against
the part of the checksum that is in their names. Weights without such a part are left out. Importing this module imports
no torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import UnknownModelError
from geoseg.models.folder import ModelFolder
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
_TREES = (ClassInfo(0, "background", "#f2efe9"), ClassInfo(1, "tree canopy", "#1a7837"))
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
    "resnet34": _Encoder("finite", (543, 543, 512, 512), 450.0),
    "resnet50": _Encoder("finite", (307, 307, 276, 276), 650.0),
    "efficientnet-b3": _Encoder("global", (0, 0, 0, 0), 650.0),
    "efficientnet-b5": _Encoder("global", (0, 0, 0, 0), 1000.0),
    "efficientnet-b7": _Encoder("global", (0, 0, 0, 0), 1050.0),
}


@dataclass(frozen=True)
class _Task:
    """What a family of weights is for.

    Attributes:
        part: What names of the family have in them.
        title: One line for people.
        bands: In the network's order.
        divisor: Of the values; 1 where the network takes them as they are.
        classes: Of those with the most.
        resolution_m: Pixel size that it was trained on.
        range_m: Smallest and largest pixel size at which it may run.
        attribution: Who must be named.
        notes: What a user should know.
        expects: Data it was trained on.
    """

    part: str
    title: str
    bands: tuple[str, ...]
    divisor: float
    classes: tuple[ClassInfo, ...]
    resolution_m: float
    range_m: tuple[float, float]
    attribution: str
    notes: tuple[str, ...] = ()
    expects: str | None = None


_TASKS = (
    _Task(
        "FTW",
        "Field boundaries from two Sentinel-2 dates",
        _TWO_DATES,
        3000.0,
        _FIELDS,
        10.0,
        (5.0, 20.0),
        "Fields of The World, Kerner et al. 2024; weights published by TorchGeo",
        ("A is a date early in the season, B one late in it: one raster with the four bands of A, then those of B.",),
        "sentinel-2-l2a",
    ),
    _Task(
        "CHESAPEAKERSC",
        "Roads from NAIP aerial images",
        ("red", "green", "blue", "nir"),
        255.0,
        _ROADS,
        1.0,
        (0.5, 2.0),
        "Chesapeake Roads Spatial Context, Robinson et al. 2024; weights published with TorchGeo",
        ("Trained on Maryland; a road under trees counts as road.",),
        "naip",
    ),
    _Task(
        "TCD",
        "Tree canopy from aerial RGB images",
        ("red", "green", "blue"),
        1.0,
        _TREES,
        0.1,
        (0.05, 0.25),
        "OAM-TCD and tree canopy models, Restor Foundation, Veitch-Michaelis et al. 2024",
        ("It takes bytes as they are, 0 to 255.",),
    ),
)


#: Names, with the licence of the weights, of what can be resolved: for lists, which must not wait for torchgeo.
PUBLISHED: Mapping[str, str] = {
    "SENTINEL2_2CLASS_FTW": "CC-BY-4.0",
    "SENTINEL2_3CLASS_FTW": "CC-BY-4.0",
    "SENTINEL2_FTW_PRUE_CCBY_EFNETB3": "CC-BY-4.0",
    "SENTINEL2_FTW_PRUE_CCBY_EFNETB5": "CC-BY-4.0",
    "SENTINEL2_FTW_PRUE_CCBY_EFNETB7": "CC-BY-4.0",
    "SENTINEL2_2CLASS_NC_FTW": "non-commercial",
    "SENTINEL2_3CLASS_NC_FTW": "non-commercial",
    "NAIP_RGBN_RESNET18_CHESAPEAKERSC": "MIT",
    "OAM_RGB_RESNET34_TCD": "CC-BY-NC-4.0",
    "OAM_RGB_RESNET50_TCD": "CC-BY-NC-4.0",
}


def published() -> Iterator[tuple[str, str, str]]:
    """Reference, title and licence of each."""
    for name, licence in PUBLISHED.items():
        task = _task(name)
        yield f"torchgeo:{_ENUM}{name}", task.title if task is not None else "", licence


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
    from geoseg.models.networks.torchgeo_models import unet_facts  # noqa: PLC0415  # imports torchgeo

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
        attribution=task.attribution,
        source=facts.source,
        bands=task.bands,
        quantity="digital-number",
        transform=() if task.divisor == 1 else (Step.of("divide", by=task.divisor),),
        classes=task.classes[: facts.classes],
        kind=encoder.kind,
        stride_px=_STRIDE_PX,
        radius_px=encoder.radius_px,
        chip_px=_CHIP_PX if whole else None,
        chip_step_px=_CHIP_STEP_PX if whole else None,
        workspace_bytes_per_px=encoder.workspace_bytes_per_px,
        resolution_m=task.resolution_m,
        resolution_range_m=task.range_m,
        expects=task.expects,
        notes=task.notes,
        architecture="torchgeo:unet",
        hyperparameters={"encoder_name": facts.encoder},
        weights=WeightsRef(facts.file_name, facts.sha256_prefix, None, facts.href, "pickle"),
    )
    return ModelFolder(Path(f"torchgeo:{_ENUM}{name}"), spec, search, cache, offline)


def _task(name: str) -> _Task | None:
    """What weights of that name are for, where geoseg knows it."""
    return next((task for task in _TASKS if task.part in name), None)
