"""From a spec to a network without weights. Nothing here reaches for the network (the other kind)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from geoseg.errors import ModelSpecError
from geoseg.models.spec import ModelSpec
from geoseg.models.steps import JSON

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build"]


def build(spec: ModelSpec) -> nn.Module:
    """The network that a spec names, with random weights, in training mode.

    The number of bands and of classes is the spec's unless its hyperparameters say so themselves (``classes: 1`` for
    a network of two classes that gives one logit). ``reduce: N`` has any network compute at 1/N of the resolution.

    For a spec of two dates, ``in_channels`` is the bands of one date. Networks that were made for two dates get them as
    they want them; any other one gets both as channels of one image (early fusion). All of them are the same for both
    orders of the dates, and see no change between equal images (``rest``: see ``Symmetric`` and ``Siamese``).

    Raises:
        ModelSpecError: If the architecture is unknown or does not take the hyperparameters.
    """
    family, _, name = spec.architecture.partition(":")
    builder = _FAMILIES.get(family)
    if builder is None or not name:
        raise _unknown(spec, f"{', '.join(f'{key}:…' for key in _FAMILIES)}")
    arguments = {"in_channels": len(spec.bands), "classes": len(spec.classes), **spec.hyperparameters}
    outputs = (
        {len(spec.classes), 1} if len(spec.classes) == 2 else {len(spec.classes)}
    )  # of change, where classes are told too
    if arguments["in_channels"] != len(spec.bands) or arguments["classes"] not in outputs:
        raise ModelSpecError(
            f"model {spec.name!r}: a network of {arguments['in_channels']} channels and {arguments['classes']} outputs",
            f"{len(spec.bands)} channels (the bands) and {len(spec.classes)} outputs (the classes)",
            "correct mlm:hyperparameters in the model's item.json",
        )
    try:
        factor = arguments.pop("reduce", 1)
        network = (_of_two if spec.dates == 2 else builder)(spec, name, arguments)
        return network if factor == 1 else _reduced(network, factor)
    except (TypeError, ValueError, KeyError) as err:
        raise ModelSpecError(
            f"model {spec.name!r}: the architecture {spec.architecture} with {dict(spec.hyperparameters)}",
            f"hyperparameters that it takes ({type(err).__name__}: {err})",
            "correct mlm:hyperparameters in the model's item.json",
        ) from err


def _of_two(spec: ModelSpec, name: str, arguments: dict[str, JSON]) -> nn.Module:
    """A network of two dates."""
    if spec.land_cover:
        return _with_classes(spec, name, arguments)
    from geoseg.models.networks.symmetric import Symmetric  # noqa: PLC0415  # imports torch

    if spec.architecture == "geoseg:siamese":
        from geoseg.models.networks.siamese import Siamese  # noqa: PLC0415  # as above

        return Siamese(**arguments)  # type: ignore[arg-type]  # a wrong argument raises, see build
    options: dict[str, Any] = {"classes": arguments["classes"]}  # Any: out of an item
    if "rest" in arguments:
        options["rest"] = arguments.pop("rest")
    family, _, _ = spec.architecture.partition(":")
    if family == "torchgeo":
        from geoseg.models.networks import torchgeo_models  # noqa: PLC0415  # four seconds, 0.9 GB

        if name in torchgeo_models.OF_TWO_DATES:
            return Symmetric(torchgeo_models.build_of_two_dates(name, arguments), apart=True, **options)
    fused = {**arguments, "in_channels": spec.channels}
    return Symmetric(_FAMILIES[family](spec, name, fused), **options)


def _with_classes(spec: ModelSpec, name: str, arguments: dict[str, JSON]) -> nn.Module:
    """A network that tells the classes of two dates with the change."""
    from geoseg.models.networks import torchgeo_models  # noqa: PLC0415  # four seconds, 0.9 GB
    from geoseg.models.networks.from_to import FromTo  # noqa: PLC0415  # imports torch

    known, kinds = torchgeo_models.OF_CLASSES, len(spec.land_cover)
    if spec.architecture not in {f"torchgeo:{key}" for key in known}:
        raise _unknown(spec, ", ".join(f"torchgeo:{key}" for key in known))
    told = arguments.setdefault("seg_classes", kinds)
    if told != kinds and (told, kinds) != (1, 2):
        raise ValueError(f"seg_classes {told} for {kinds} classes of geoseg.head.classes")
    options: dict[str, Any] = {"rest": arguments.pop("rest")} if "rest" in arguments else {}  # Any: out of an item
    return FromTo(torchgeo_models.build_of_two_dates(name, arguments), **options)


def _reduced(network: nn.Module, factor: JSON) -> nn.Module:
    """The network at a fraction of the resolution."""
    from geoseg.models.networks.reduced import Reduced  # noqa: PLC0415  # imports torch

    return Reduced(network, factor)


def _own(spec: ModelSpec, name: str, arguments: Mapping[str, JSON]) -> nn.Module:
    """Networks that geoseg itself defines."""
    if name == "dynamic-world":
        from geoseg.models.networks.dynamic_world import DynamicWorld  # noqa: PLC0415  # imports torch

        return DynamicWorld(**arguments)  # type: ignore[arg-type]  # a wrong argument raises, see build
    if name == "small-unet":
        from geoseg.models.networks.small_unet import SmallUNet  # noqa: PLC0415  # imports torch

        return SmallUNet(**arguments)  # type: ignore[arg-type]  # as above
    if name == "unet":
        from geoseg.models.networks.unet import UNet  # noqa: PLC0415  # imports torch

        return UNet(**arguments)  # type: ignore[arg-type]  # as above
    two = "" if spec.dates == 1 else ", geoseg:siamese"
    raise _unknown(spec, f"geoseg:dynamic-world, geoseg:small-unet, geoseg:unet{two}")


def _smp(spec: ModelSpec, name: str, arguments: Mapping[str, JSON]) -> nn.Module:
    """Any architecture of segmentation_models_pytorch, with any of its encoders."""
    import segmentation_models_pytorch as smp  # noqa: PLC0415  # two seconds

    if name.lower() not in smp.MODEL_ARCHITECTURES_MAPPING:
        raise _unknown(spec, f"smp:{', smp:'.join(cls.__name__ for cls in smp.MODEL_ARCHITECTURES_MAPPING.values())}")
    # encoder_weights: the default would be fetched; activation: logits are wanted, scores are made here.
    fixed = {"encoder_weights": None, "activation": None}
    model: nn.Module = smp.create_model(name, **{**arguments, **fixed})
    return model


def _torchgeo(spec: ModelSpec, name: str, arguments: Mapping[str, JSON]) -> nn.Module:
    """Segmentation networks of torchgeo."""
    from geoseg.models.networks import torchgeo_models  # noqa: PLC0415  # four seconds, 0.9 GB

    if name not in torchgeo_models.ARCHITECTURES:
        raise _unknown(spec, ", ".join(f"torchgeo:{key}" for key in torchgeo_models.ARCHITECTURES))
    return torchgeo_models.build(name, arguments)


_FAMILIES: Mapping[str, Callable[[ModelSpec, str, Mapping[str, JSON]], nn.Module]] = {
    "geoseg": _own,
    "smp": _smp,
    "torchgeo": _torchgeo,
}


def _unknown(spec: ModelSpec, expected: str) -> ModelSpecError:
    return ModelSpecError(
        f"model {spec.name!r}: the architecture {spec.architecture!r}",
        f"one of {expected}",
        "correct mlm:architecture in the model's item.json",
    )
