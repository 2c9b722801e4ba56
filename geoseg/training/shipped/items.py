"""Writes the items of the shipped demo networks from the facts they were trained with: ``python -m geoseg.training.shipped.items``.

Kind, stride, radius and workspace are measured, as for every other model.
"""

from __future__ import annotations

import logging

from geoseg.demo.uav import UAV_PIXEL_M
from geoseg.models.check import check_model
from geoseg.models.folder import UNMEASURED, ModelFolder, write_item
from geoseg.models.saving import weights_reference
from geoseg.models.spec import ClassInfo, ModelSpec, Quantity
from geoseg.models.steps import Step
from geoseg.training.shipped.demo import MODELS, DemoModel

_LOG = logging.getLogger(__name__)


def demo_spec(model: DemoModel, *, title: str, quantity: Quantity, resolution_m: float) -> ModelSpec:
    """The spec of a shipped network, with stand-ins for what is measured."""
    return ModelSpec(
        name=model.name,
        title=title,
        licence="Apache-2.0",
        source="",
        bands=model.bands,
        quantity=quantity,
        transform=(Step.of("zscore", mean=model.mean, std=model.std),),
        classes=tuple(
            ClassInfo(entry.index, entry.name, "#{:02x}{:02x}{:02x}".format(*entry.colour), None, entry.description)
            for entry in model.classes
        ),
        kind="finite",
        stride_px=1,
        architecture="geoseg:small-unet",
        hyperparameters={"widths": list(model.widths)},
        weights=weights_reference(model.weights),
        resolution_m=resolution_m,
        resolution_range_m=(resolution_m / 2, resolution_m * 2),
        notes=(
            "Trained on generated scenes only (geoseg.training.shipped.demo): it shows how geoseg works and knows nothing of the world.",
        ),
    )


def write_items() -> None:
    """Write and check every item whose weights are there."""
    specs: dict[str, tuple[str, Quantity, float]] = {
        "landcover": ("Land cover of the generated Sentinel-2 scenes", "reflectance", 10.0),
        "uav": ("Surface of the generated UAV orthomosaic", "digital-number", UAV_PIXEL_M),
    }
    for key, (title, quantity, resolution_m) in specs.items():
        model = MODELS[key]
        if not model.weights.is_file():
            _LOG.warning("%s: no weights at %s", model.name, model.weights)
            continue
        spec = demo_spec(model, title=title, quantity=quantity, resolution_m=resolution_m)
        folder = model.weights.parent
        write_item(folder, spec.to_item())
        report = check_model(ModelFolder(folder, spec, undeclared=frozenset(UNMEASURED)), write=True)
        _LOG.info("%s", report.describe())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write_items()
