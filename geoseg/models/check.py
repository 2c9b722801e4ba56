"""Measures a model folder and compares what it finds with what the folder declares.

What ``geoseg models check`` and ``geoseg models add`` run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from geoseg.errors import ModelSpecError
from geoseg.models.folder import ModelFolder, add_checksums, read_item, write_item
from geoseg.models.item import PREFIX
from geoseg.models.item_writing import measured_hyperparameters
from geoseg.models.network import load_network
from geoseg.models.probe import Neighbourhood, measure_neighbourhood
from geoseg.models.spec import ModelSpec
from geoseg.models.workspace import measure_workspace

_CELL_PX = 256
#: Memory may be declared this much lower than measured before that is an error.
_WORKSPACE_TOLERANCE = 0.8


@dataclass(frozen=True)
class CheckReport:
    """What was measured, and what is wrong with what was declared.

    Attributes:
        folder: The model.
        neighbourhood: Kind, stride, radius and steadiness.
        workspace_bytes_per_px: Peak of a forward pass, per chip pixel.
        measured: The spec with the measured values in place of the declared ones.
        errors: Declarations that would give wrong results, in words.
        notes: Other things to know, in words.
    """

    folder: ModelFolder
    neighbourhood: Neighbourhood
    workspace_bytes_per_px: float
    measured: ModelSpec
    errors: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the item states every fact, and none that would give wrong results."""
        return not self.errors and not self.folder.undeclared

    def describe(self) -> str:
        """A few lines for people."""
        spec, found = self.measured, self.neighbourhood
        lines = [
            f"{spec.name}: {found.kind}, stride {spec.stride_px} px",
            f"radius      top {spec.radius_px[0]}, left {spec.radius_px[1]}, bottom {spec.radius_px[2]},"
            f" right {spec.radius_px[3]} px"
            if found.kind == "finite"
            else f"chips       {spec.chip_px} px every {spec.chip_step_px} px ({found.reason})",
            f"workspace   {self.workspace_bytes_per_px:.0f} bytes per pixel",
            f"weights     {spec.weights.file_name}, SHA-256 {spec.weights.sha256}",
        ]
        lines += [f"not stated  {fact}" for fact in sorted(self.folder.undeclared)]
        lines += [f"wrong       {error}" for error in self.errors]
        lines += [f"note        {note}" for note in self.notes]
        return "\n".join(lines)


def check_model(folder: ModelFolder, *, write: bool = False, allow_pickle: bool = False) -> CheckReport:
    """Measure a model and compare.

    Args:
        folder: The model; one opened with ``measured=False`` may lack the measured facts.
        write: Put the measured facts into the folder's item.
        allow_pickle: As for ``load_network``.

    Raises:
        ModelSpecError: If the network cannot be measured, or item and network do not fit.
        ModelMismatchError: If weights and network do not fit.
        WeightsError: If the weights are missing, truncated or altered.
        RequestError: If they are a pickle that is not allowed.
    """
    spec = folder.spec
    network = load_network(folder, allow_pickle=allow_pickle)
    try:
        found = measure_neighbourhood(network.module, len(spec.bands))
    except ValueError as err:
        raise ModelSpecError(
            f"the network of {spec.name!r}: {err}", "a network for images", "use another network"
        ) from err
    measured = _with_measured(spec, found)
    workspace = measure_workspace(replace(folder, spec=measured), allow_pickle=allow_pickle)
    measured = replace(measured, workspace_bytes_per_px=_declared_workspace(workspace))
    errors, notes = _errors(folder, found, workspace), _notes(folder, found)
    report = CheckReport(folder, found, workspace, measured, tuple(errors), tuple(notes))
    if write:
        write_measured(report)
    return report


def write_measured(report: CheckReport) -> None:
    """Put the measured values into the folder's item; nothing else in it changes."""
    path = report.folder.path
    item = read_item(path)
    item["properties"].setdefault("mlm:hyperparameters", {}).update(measured_hyperparameters(report.measured))
    if report.measured.kind == "finite":
        for key in ("chip_px", "chip_step_px"):
            item["properties"]["mlm:hyperparameters"].pop(PREFIX + key, None)
    add_checksums(path, item)
    ModelSpec.from_item(item)
    write_item(path, item)


def _with_measured(spec: ModelSpec, found: Neighbourhood) -> ModelSpec:
    """The spec as it should be."""
    if found.kind == "finite":
        stride = found.stride_px
        cell = spec.cell_px if spec.cell_px % stride == 0 else _up(max(spec.cell_px, _CELL_PX), stride)
        return replace(
            spec,
            kind="finite",
            stride_px=stride,
            radius_px=found.radius_px,
            cell_px=cell,
            chip_px=None,
            chip_step_px=None,
        )
    # A global network has no measurable shift; a declared stride stands when the network takes its multiples.
    stride = spec.stride_px if spec.stride_px % found.stride_px == 0 else found.stride_px
    chip = spec.chip_px or _up(_CELL_PX, stride)
    step = spec.chip_step_px or _up(chip // 2, stride)
    cell = _up(spec.cell_px, stride)
    return replace(
        spec,
        kind="global",
        stride_px=stride,
        radius_px=(0, 0, 0, 0),
        cell_px=cell,
        chip_px=_up(chip, stride),
        chip_step_px=_up(step, stride),
    )


def _declared_workspace(measured: float) -> float:
    """Measured peaks differ from run to run by what the allocator keeps: a tenth more, in steps of 50 bytes."""
    return float(_up(math.ceil(measured * 1.1), 50))


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _errors(folder: ModelFolder, found: Neighbourhood, workspace: float) -> list[str]:
    """Declarations that would give wrong results."""
    spec, undeclared = folder.spec, folder.undeclared
    errors = []
    if not found.deterministic:
        errors.append("the same image gave two different results")
    if not found.batch_independent:
        errors.append("an image's result depends on the other images of its batch")
    outputs = {len(spec.classes), 1} if len(spec.classes) == 2 else {len(spec.classes)}
    if found.outputs not in outputs:
        errors.append(f"the network gives {found.outputs} outputs for {len(spec.classes)} classes")
    if PREFIX + "kind" not in undeclared and spec.kind == "finite" and found.kind == "global":
        errors.append(f"declared finite, measured global: {found.reason}")
    if PREFIX + "stride_px" not in undeclared and spec.stride_px % found.stride_px:
        errors.append(f"declared stride {spec.stride_px} px is no multiple of the measured {found.stride_px} px")
    if PREFIX + "radius_px" not in undeclared and spec.kind == found.kind == "finite":
        short = [side for side, told, seen in zip(_SIDES, spec.radius_px, found.radius_px, strict=True) if told < seen]
        if short:
            errors.append(
                f"declared radius {list(spec.radius_px)} px is below the measured {list(found.radius_px)} px"
                f" ({', '.join(short)})"
            )
    if (
        PREFIX + "workspace_bytes_per_px" not in undeclared
        and spec.workspace_bytes_per_px < _WORKSPACE_TOLERANCE * workspace
    ):
        errors.append(f"declared workspace {spec.workspace_bytes_per_px:.0f} bytes per pixel, measured {workspace:.0f}")
    return errors


_SIDES = ("top", "left", "bottom", "right")


def _notes(folder: ModelFolder, found: Neighbourhood) -> list[str]:
    """What costs work without being wrong."""
    spec, undeclared = folder.spec, folder.undeclared
    notes = []
    if PREFIX + "kind" not in undeclared and spec.kind == "global" and found.kind == "finite":
        notes.append("declared global, measured finite: it could be run without overlapping chips")
    pairs = list(zip(spec.radius_px, found.radius_px, strict=True))
    enough = spec.kind == found.kind == "finite" and all(told >= seen for told, seen in pairs)
    if PREFIX + "radius_px" not in undeclared and enough and spec.radius_px != found.radius_px:
        notes.append(f"declared radius {list(spec.radius_px)} px, {list(found.radius_px)} px would do")
    if found.kind == "global":
        notes.append(f"global: {found.reason}")
    return notes
