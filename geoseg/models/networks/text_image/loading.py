"""From a model folder to a text-image model, whoever made it. Importing this module imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from geoseg.errors import ModelSpecError, RequestError, WeightsError
from geoseg.models.folder import ModelFolder
from geoseg.models.folding import fold_norms
from geoseg.models.networks import build
from geoseg.models.networks.text_image.embedding import PixelEmbedding
from geoseg.models.networks.text_image.own import OwnTextImage, SmallWords
from geoseg.models.spec import ModelSpec
from geoseg.models.state import put_state, read_state
from geoseg.models.text_image import EMBEDS, FAMILY, OPEN_CLIP
from geoseg.models.weights import find_weights, guard_pickle

if TYPE_CHECKING:
    from geoseg.models.networks.text_image.hub import HubTextImage

OWN = "geoseg:small-words"


def load_text_image(
    folder: ModelFolder, device: str = "cpu", *, allow_pickle: bool = False
) -> OwnTextImage | PixelEmbedding | HubTextImage:
    """Find, verify and read the weights of a text-image model.

    Args:
        folder: The model.
        device: ``cpu`` or ``cuda``.
        allow_pickle: As for ``geoseg.models.network.load_network``.

    Raises:
        WeightsError: If the weights are missing, truncated or altered.
        ModelMismatchError: If weights and network do not fit.
        ModelSpecError: If the architecture is unknown.
    """
    spec = folder.spec
    guard_pickle(spec.weights, allow_pickle=allow_pickle)
    family, _, kind = spec.architecture.partition(":")
    if family == FAMILY:
        return _of_transformers(folder, kind, device)
    if spec.architecture == OPEN_CLIP:
        return _of_open_clip(folder, device)
    if spec.architecture == EMBEDS:
        return PixelEmbedding(spec, _filled(build(spec), folder), device)
    if spec.architecture != OWN:
        raise ModelSpecError(
            f"model {spec.name!r}: the text-image architecture {spec.architecture!r}",
            f"{OWN}, {EMBEDS}, {OPEN_CLIP} or {FAMILY}:…",
            "correct mlm:architecture in the model's item.json",
        )
    return OwnTextImage(spec, _filled(own_network(spec), folder), device)


def _filled[M: nn.Module](module: M, folder: ModelFolder) -> M:
    """A network with its weights, ready for prediction."""
    path = find_weights(folder)
    put_state(module, read_state(path, folder.spec.weights, folder.path), folder.spec.name)
    fold_norms(module.eval())
    return module


def _of_transformers(folder: ModelFolder, kind: str, device: str) -> HubTextImage:
    """A model that ``save_pretrained`` wrote, read from its folder alone: no code of it is run, no server asked.

    Raises:
        RequestError: If transformers is not installed.
        WeightsError: If the library cannot read the folder.
    """
    try:
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  # an extra
    except ImportError as err:
        raise _not_installed(folder, "transformers") from err
    from geoseg.models.networks.text_image.hub import KINDS  # noqa: PLC0415

    find_weights(folder)
    try:
        model = AutoModel.from_pretrained(folder.path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder.path, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as err:
        raise _unreadable(folder, err, f"a {kind} model with its tokenizer, as save_pretrained writes it") from err
    return KINDS[kind](folder.spec, model, tokenizer, device)


def _of_open_clip(folder: ModelFolder, device: str) -> HubTextImage:
    """A checkpoint of open_clip, read from its folder alone.

    Raises:
        RequestError: If open_clip is not installed.
        WeightsError: If the library cannot read the folder.
    """
    try:
        import open_clip  # noqa: PLC0415  # an extra
    except ImportError as err:
        raise _not_installed(folder, "open_clip") from err
    from geoseg.models.networks.text_image.hub import OpenClip  # noqa: PLC0415

    find_weights(folder)
    place = f"local-dir:{folder.path}"
    try:
        model = open_clip.create_model(place, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(place)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as err:
        raise _unreadable(folder, err, "a CLIP of open_clip, as its save_for_hf writes it") from err
    return OpenClip(folder.spec, model, tokenizer, device)


def _not_installed(folder: ModelFolder, library: str) -> RequestError:
    return RequestError(
        f"the text-image model {folder.spec.name}, for which {library} is not installed",
        "the extra for large text-image models",
        "pip install 'geoseg[words]', or use the small one: --model small-words",
    )


def _unreadable(folder: ModelFolder, err: Exception, expected: str) -> WeightsError:
    return WeightsError(
        f"{folder.path}: {(str(err).strip().splitlines() or ['?'])[0][:200]}",
        expected,
        "fetch the folder again (docs/howto/words.md)",
    )


def own_network(spec: ModelSpec) -> SmallWords:
    """Own network of geoseg with random weights.

    Raises:
        ModelSpecError: If it does not take the hyperparameters.
    """
    try:
        return SmallWords(len(spec.bands), spec.head_settings["vocabulary"], **spec.hyperparameters)  # type: ignore[arg-type]  # a wrong argument raises
    except (TypeError, ValueError, KeyError) as err:
        raise ModelSpecError(
            f"model {spec.name!r}: {OWN} with {dict(spec.hyperparameters)}",
            f"hyperparameters that it takes ({type(err).__name__}: {err})",
            "correct mlm:hyperparameters in the model's item.json",
        ) from err
