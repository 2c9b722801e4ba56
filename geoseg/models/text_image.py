"""Text-image models of others, in their own format, as model folders: what their configuration says becomes a spec.

A reference begins with ``words:`` for satellite imagery (reflectance) or ``words-rgb:`` for pictures (numbers from 0 to
255), and goes on with a folder that ``save_pretrained`` of transformers or ``save_for_hf`` of open_clip wrote, or with
``hf:ORG/NAME[@REVISION]``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geoseg.errors import ModelSpecError, WeightsError
from geoseg.models.digests import digest_of_file
from geoseg.models.folder import SMP_CONFIG as CONFIG
from geoseg.models.folder import ModelFolder, read_document
from geoseg.models.spec import WORDS, ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import JSON, Step

#: How references to such models begin, and whether they are given reflectance.
PREFIXES: Mapping[str, bool] = {"words:": True, "words-rgb:": False}
FAMILY = "transformers"
#: Architecture of the checkpoints of open_clip: a vision transformer beside a text transformer.
OPEN_CLIP = "open_clip:vit"
#: How references to classifiers begin whose features are wanted, not their classes.
EMBEDDING = "embedding:"
#: Architecture whose features they are.
EMBEDS = "geoseg:dynamic-world"
_HUB = "hf:"
_WEIGHTS, _PREPROCESSING = "model.safetensors", "preprocessor_config.json"
#: Files of a repository that are fetched: those that transformers reads without running code of the repository.
WANTED = (
    "config.json", _WEIGHTS, _PREPROCESSING, "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model",
    "special_tokens_map.json", "vocab.json", "merges.txt",
)  # fmt: skip
#: The same of repositories of open_clip; its tokenizer comes with the library, unless the configuration names another.
OPEN_CONFIG, OPEN_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
OPEN_WANTED = (OPEN_CONFIG, OPEN_WEIGHTS, *WANTED[3:])
# Without one of them the library makes a tokenizer of no words, and says nothing.
_TOKENIZERS = ("tokenizer.json", "spiece.model", "tokenizer.model", "vocab.json")
# Reflectance that is white in a picture: bright land is near it, snow and cloud are beyond.
_WHITE = 0.3
_TEMPLATES = ("{}", "a satellite image of {}", "an aerial view of {}", "{} seen from above")
_OTHERS = ("background", "other land", "something else")
_LEAST_WINDOW_PX, _MOST_WINDOW_PX = 224, 448
# Per pixel of a window: tokens of the widest of these networks with what their attention holds, rounded up.
_WORKSPACE_BYTES_PER_PX = 2000.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """What has to be known of a kind of model beside its configuration.

    Attributes:
        title: For people.
        temperature: Of its training.
        bias: See ``geoseg.words.WordSettings``.
        generic: As well.
        mean: What pictures from 0 to 1 are less, where the folder does not say.
        std: And divided by.
        draws: Whether it draws masks for phrases; logits of 0 then stand for none of them.
    """

    title: str
    temperature: float
    bias: float = 0.0
    generic: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    draws: bool = False


_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_NOTHING = ("", "image", "texture")
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
#: The kind of models that draw masks for a phrase, and have no features to be kept.
MASKS = "sam3"
_KINDS: Mapping[str, _Kind] = {
    "tipsv2": _Kind("TIPSv2", 0.005),
    "clip": _Kind("CLIP", 0.01, 0.3, _NOTHING, *_CLIP),
    "siglip": _Kind("SigLIP", 0.0085, 0.0, (), *_HALF),
    "siglip2": _Kind("SigLIP 2", 0.0085, 0.0, (), *_HALF),
    MASKS: _Kind("SAM 3", 1.0, 0.0, (), *_HALF, draws=True),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the files of a folder say, whichever library wrote them.

    Attributes:
        kind: What is known of such models.
        architecture: Of the spec.
        vision: Facts of the image network, with ``patch_size`` and ``image_size``.
        constants: ``image_mean``, ``image_std`` and ``do_normalize``, where they are stated.
        config: The file that says so.
        weights: The file of numbers.
    """

    kind: _Kind
    architecture: str
    vision: Mapping[str, Any]
    constants: Mapping[str, Any]
    config: Path
    weights: Path


def embedding_folder(folder: ModelFolder) -> ModelFolder:
    """A classifier of pixels as the image side of examples: its features, without its last layer.

    Raises:
        ModelSpecError: If features of such a network are not known here.
    """
    spec = folder.spec
    if spec.architecture != EMBEDS:
        raise ModelSpecError(
            f"{EMBEDDING}{spec.name} of the architecture {spec.architecture}",
            f"{EMBEDS}, whose last layer compares unit features",
            "name another model",
        )
    side = 2 * max(spec.cell_px // 2, 1)
    changed = replace(
        spec,
        kind="global",
        stride_px=2,
        radius_px=(0, 0, 0, 0),
        chip_px=side,
        chip_step_px=side // 2,
        head=WORDS,
        head_settings={"temperature": 0.05, "guide_scale": 1.0},
        notes=(*spec.notes, "classes of this map are outlined examples: each pixel takes the most similar one"),
    )
    return replace(folder, spec=changed)


def is_text_image(reference: str) -> bool:
    """Whether a reference means such a model."""
    return reference.startswith(tuple(PREFIXES))


def text_image_folder(reference: str, *, search: tuple[Path, ...], cache: Path | None, offline: bool) -> ModelFolder:
    """The model folder that a reference means; nothing is written into it.

    Args:
        reference: See above.
        search: As for ``ModelFolder``.
        cache: As for ``ModelFolder``.
        offline: As for ``ModelFolder``.

    Raises:
        WeightsError: If folder or weights are not there, or cannot be fetched.
        ModelSpecError: If the folder holds another kind of model.
    """
    prefix = next(prefix for prefix in PREFIXES if reference.startswith(prefix))
    place, revision, href = reference.removeprefix(prefix), "", ""
    path = Path(place).expanduser()
    if place.startswith(_HUB):
        from geoseg.models.hub import endpoint, wanted_files_of_hub  # noqa: PLC0415  # HTTP, where it is needed

        name = place.removeprefix(_HUB)
        path, revision = wanted_files_of_hub(name, (WANTED, OPEN_WANTED), cache=cache, offline=offline)
        href = f"{endpoint()}/{name.partition('@')[0]}"
    if missing := _missing(path):
        raise WeightsError(
            f"--model {reference}: no {', '.join(missing)} in {path}",
            "a folder that save_pretrained of transformers or save_for_hf of open_clip wrote, or hf:ORG/NAME",
            "fetch the model (docs/howto/words.md says which, and its licence), or use the small one: --model small-words",
        )
    spec = _spec(path, href, reflectance=PREFIXES[prefix])
    return ModelFolder(path, spec, search, cache, offline, href=href, revision=revision)


def _missing(path: Path) -> list[str]:
    """Files that a folder lacks."""
    if (path / OPEN_CONFIG).is_file() and not (path / CONFIG).is_file():
        return [] if (path / OPEN_WEIGHTS).is_file() else [OPEN_WEIGHTS]
    missing = [name for name in (CONFIG, _WEIGHTS) if not (path / name).is_file()]
    return missing + ([] if any((path / name).is_file() for name in _TOKENIZERS) else [_TOKENIZERS[0]])


def _layout_of(path: Path) -> _Layout:
    """What the configuration says.

    Raises:
        ModelSpecError: If it is that of another kind of model.
    """
    if not (path / CONFIG).is_file():
        return _layout_of_open_clip(path)
    config = read_document(path / CONFIG)
    kind = _KINDS.get(str(config.get("model_type")))
    vision = config.get("vision_config")
    if kind is None or not isinstance(vision, dict) or "auto_map" in config:
        own_code = ", with code of its own, which is not run" if "auto_map" in config else ""
        raise ModelSpecError(
            f"{path / CONFIG} of a model of the type {config.get('model_type')!r}{own_code}",
            f"one of {', '.join(_KINDS)}, in the layout of transformers (text_config and vision_config)",
            "name a revision with that layout, or another model",
        )
    constants = read_document(path / _PREPROCESSING) if (path / _PREPROCESSING).is_file() else {}
    architecture = f"{FAMILY}:{config['model_type']}"
    vision = vision.get("backbone_config") or vision
    return _Layout(kind, architecture, vision, constants, path / CONFIG, path / _WEIGHTS)


def _layout_of_open_clip(path: Path) -> _Layout:
    """Of a checkpoint of open_clip, if both of its networks are its own transformers."""
    config = read_document(path / OPEN_CONFIG)
    parts = config.get("model_cfg")
    vision, text = (parts.get(name) if isinstance(parts, dict) else None for name in ("vision_cfg", "text_cfg"))
    is_plain = isinstance(vision, dict) and isinstance(text, dict) and isinstance(vision.get("layers"), int)
    vision, text = vision or {}, text or {}
    if not is_plain or "timm_model_name" in vision or "hf_model_name" in text or vision.get("attentional_pool"):
        raise ModelSpecError(
            f"{path / OPEN_CONFIG} without a vision transformer and a text transformer of open_clip itself",
            "model_cfg with vision_cfg and text_cfg, as those of ViT-B-16, ViT-B-32 or ViT-L-14",
            "name another model",
        )
    own = config.get("preprocess_cfg")
    own = own if isinstance(own, dict) else {}
    constants = {"image_mean": own.get("mean"), "image_std": own.get("std")}
    return _Layout(_KINDS["clip"], OPEN_CLIP, vision, constants, path / OPEN_CONFIG, path / OPEN_WEIGHTS)


def _spec(path: Path, href: str, *, reflectance: bool) -> ModelSpec:
    """What the folder says, as a spec."""
    layout = _layout_of(path)
    kind, weights = layout.kind, layout.weights
    patch, window_px = _lattice(layout.config, layout.vision, whole=kind.draws)
    return ModelSpec(
        name=path.name if not href else href.rpartition("/")[2],
        title=f"{kind.title}, {'reflectance' if reflectance else 'numbers from 0 to 255'} as a picture",
        licence="not stated in the folder: its publisher says",
        source=href,
        bands=("B04", "B03", "B02") if reflectance else ("red", "green", "blue"),
        quantity="reflectance" if reflectance else "digital-number",
        transform=_transform(kind, layout.constants, reflectance=reflectance),
        classes=(ClassInfo(0, "background", "#e4e2dc"), ClassInfo(1, "prompt", "#0072b2")),
        kind="global",
        stride_px=patch,
        cell_px=2 * (window_px // 2),
        chip_px=window_px,
        chip_step_px=window_px // 2,
        workspace_bytes_per_px=_WORKSPACE_BYTES_PER_PX,
        architecture=layout.architecture,
        head=WORDS,
        head_settings=_settings(kind, reflectance=reflectance),
        notes=(
            "scores of this model were not calibrated here: --without and the report's margins show what it is sure of",
        ),
        weights=WeightsRef(weights.name, digest_of_file(weights), weights.stat().st_size, weights.name, "safetensors"),
    )


def _lattice(config: Path, vision: Mapping[str, Any], *, whole: bool) -> tuple[int, int]:
    """Side of a patch, and of a window: an even number of patches near the size that the model was trained on, or that."""
    try:
        patch, size = int(vision["patch_size"]), int(vision.get("image_size") or _LEAST_WINDOW_PX)
    except (KeyError, TypeError, ValueError) as err:
        raise ModelSpecError(
            f"{config} without patch_size of its image network", "a vision transformer", "name another model"
        ) from err
    if whole:
        return patch, 2 * patch * (size // (2 * patch))
    wanted = min(max(size, min(_LEAST_WINDOW_PX, 16 * patch)), _MOST_WINDOW_PX)
    return patch, 2 * patch * max(1, wanted // (2 * patch))


def _transform(kind: _Kind, own: Mapping[str, Any], *, reflectance: bool) -> tuple[Step, ...]:
    """Physical values to what the model was trained on; its own constants go before what is known of its kind."""
    mean, std = kind.mean, kind.std
    if own.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    elif _are_numbers(own.get("image_mean")) and _are_numbers(own.get("image_std")):
        mean, std = tuple(own["image_mean"]), tuple(own["image_std"])
    white = _WHITE if reflectance else 255.0
    scale = (Step.of("divide", by=white), Step.of("clip", minimum=0.0, maximum=1.0))
    return (*scale, Step.of("zscore", mean=mean, std=std))


def _are_numbers(value: Any) -> bool:  # whatever a file holds
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    )


def _settings(kind: _Kind, *, reflectance: bool) -> dict[str, JSON]:
    if kind.draws:
        return {"temperature": kind.temperature, "null": 0.0, "least": 0.5}
    return {
        "temperature": kind.temperature,
        "background": list(_OTHERS),
        "templates": list(_TEMPLATES),
        "bias": kind.bias,
        "generic": list(kind.generic),
        "gate": 1.0,
        "gate_scale": 5 * kind.temperature,
        "guide_scale": _WHITE if reflectance else 255.0,
        "least": 0.3,
        "lead": 0.05,
    }
