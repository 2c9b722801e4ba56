"""Writes model folders: the way in for any network that ``geoseg.models.networks`` can build."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from geoseg.models.folder import CARD, ModelFolder, write_item
from geoseg.models.spec import ModelSpec, WeightsRef

WEIGHTS = "weights.safetensors"


def save_model(path: Path, spec: ModelSpec, module: nn.Module) -> ModelFolder:
    """Write weights, item and a card to be filled in.

    Args:
        path: Folder to write into; made if it is not there. A card that is there stays.
        spec: The model's facts; its ``weights`` are replaced by what is written. Run ``check_model`` afterwards:
            kind, stride, radius and workspace are measured, not believed.
        module: The network with its weights.

    Returns:
        The folder.
    """
    path.mkdir(parents=True, exist_ok=True)
    temporary = path / f".{WEIGHTS}.part"
    # Copies: shared or strided tensors have no place in the format.
    save_file({key: value.detach().cpu().clone().contiguous() for key, value in module.state_dict().items()}, temporary)
    temporary.chmod(0o644)  # the library writes for the owner alone
    temporary.replace(path / WEIGHTS)
    spec = replace(spec, weights=weights_reference(path / WEIGHTS))
    write_item(path, spec.to_item())
    if not (path / CARD).exists():
        (path / CARD).write_text(card(spec), encoding="utf-8")
    return ModelFolder(path, spec)


def weights_reference(path: Path) -> WeightsRef:
    """What a spec says about a safetensors file that lies in its folder."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightsRef(path.name, digest, path.stat().st_size, path.name, "safetensors")


def card(spec: ModelSpec) -> str:
    """The parts of a model's card that its spec knows, as Markdown."""
    classes = "\n".join(f"| {info.index} | {info.name} | {info.colour} |" for info in spec.classes)
    return (
        f"# {spec.name}\n\n{spec.title}\n\n| item | value |\n| --- | --- |\n| licence | {spec.licence} |\n"
        f"| source | {spec.source} |\n| input | {' '.join(spec.bands)} as {spec.quantity} |\n"
        f"| architecture | `{spec.architecture}` |\n\n| value | class | colour |\n| --- | --- | --- |\n{classes}\n\n"
        "Training data, metrics and known weaknesses: not written yet.\n"
    )
