"""Measures a model folder and compares what it finds with what the folder declares.

What ``geoseg models check`` and ``geoseg models add`` run.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace

from geoseg.errors import ModelSpecError
from geoseg.models.folder import ModelFolder, add_checksums, read_item, write_item
from geoseg.models.item import PREFIX
from geoseg.models.item_writing import measured_hyperparameters
from geoseg.models.network import load_network
from geoseg.models.probe import Neighbourhood, measure_neighbourhood
from geoseg.models.sanity import look
from geoseg.models.spec import SEMANTIC, ModelSpec
from geoseg.models.workspace import measure_workspace

_CELL_PX = 256
#: Memory may be declared this much lower than measured before that is an error.
_WORKSPACE_TOLERANCE = 0.8


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a check, in words.

    Attributes:
        name: What it is about.
        declared: What the item says.
        measured: What the network does.
        verdict: ``ok`` (with a word on what is more than needed), ``differs`` or ``not stated``.
    """

    name: str
    declared: str
    measured: str
    verdict: str


@dataclass(frozen=True)
class CheckReport:
    """What was measured, and what is wrong with what was declared.

    Attributes:
        folder: The model.
        neighbourhood: Kind, stride, radius and steadiness.
        workspace_bytes_per_px: Peak of a forward pass, per chip pixel.
        measured: The spec with the measured values in place of the declared ones.
        errors: Declarations that would give wrong results, in words.
        lasting: Those of them that no measured value in the item mends.
        notes: Other things to know, in words.
        seen: What the network did with images that are wrong on purpose; see ``geoseg.models.sanity``.
    """

    folder: ModelFolder
    neighbourhood: Neighbourhood
    workspace_bytes_per_px: float
    measured: ModelSpec
    errors: tuple[str, ...]
    lasting: tuple[str, ...]
    notes: tuple[str, ...]
    seen: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the item states every fact, and none that would give wrong results."""
        return not self.errors and not self.folder.undeclared

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Each fact as it was declared and as it was measured."""
        spec, found = self.folder.spec, self.neighbourhood
        over = spec.kind == "global" and found.kind == "finite"
        rows = [
            self._fact("kind", PREFIX + "kind", spec.kind, found.kind, spec.kind == found.kind or over, over=over),
            self._fact(
                "stride",
                PREFIX + "stride_px",
                f"{spec.stride_px} px",
                f"{found.stride_px} px",
                spec.stride_px % found.stride_px == 0,
                over=spec.stride_px > found.stride_px,
            ),
        ]
        if spec.kind == found.kind == "finite":
            pairs = list(zip(spec.radius_px, found.radius_px, strict=True))
            enough, over = all(told >= seen for told, seen in pairs), spec.radius_px != found.radius_px
            told, seen = (", ".join(map(str, sides)) + " px" for sides in (spec.radius_px, found.radius_px))
            rows.append(
                self._fact(f"radius ({', '.join(_SIDES)})", PREFIX + "radius_px", told, seen, enough, over=over)
            )
        told_bytes, seen_bytes = spec.workspace_bytes_per_px, self.workspace_bytes_per_px
        kept = found.outputs in spec.outputs
        return (
            *rows,
            self._fact(
                "workspace",
                PREFIX + "workspace_bytes_per_px",
                f"{told_bytes:.0f} bytes per pixel",
                f"{seen_bytes:.0f} bytes per pixel",
                told_bytes >= _WORKSPACE_TOLERANCE * seen_bytes,
            ),
            self._fact("classes", "", f"{len(spec.classes)}", f"{found.outputs} outputs", kept),
            self._fact("twice the same", "", "yes", _yes(found.deterministic), found.deterministic),
            self._fact("alone as in a batch", "", "yes", _yes(found.batch_independent), found.batch_independent),
            self._fact("weights", "file:checksum", f"SHA-256 {spec.weights.sha256[:16]}…", "the same", True),
        )

    def _fact(self, name: str, key: str, declared: str, measured: str, holds: bool, *, over: bool = False) -> Fact:
        if key in self.folder.undeclared:
            return Fact(name, "-", measured, "not stated")
        return Fact(name, declared, measured, "differs" if not holds else "ok, more than needed" if over else "ok")

    def describe(self) -> str:
        """A line per fact for people, and what to know about them."""
        rows = [Fact("fact", "declared", "measured", "verdict"), *self.facts]
        wide = [max(len(text) for text in column) for column in zip(*map(astuple, rows), strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(astuple(row), wide, strict=True)).rstrip()
            for row in rows
        ]
        lines += [f"wrong: {error}" for error in self.errors]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"seen: {line}" for line in self.seen]
        lines.append(f"{self.folder.spec.name}: {'keeps' if self.agrees else 'does not keep'} what its item says")
        return "\n".join(lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


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
        found = measure_neighbourhood(network.module, spec.channels)
    except ValueError as err:
        raise ModelSpecError(
            f"the network of {spec.name!r}: {err}", "a network for images", "use another network"
        ) from err
    measured = _with_measured(spec, found)
    workspace = measure_workspace(replace(folder, spec=measured), allow_pickle=allow_pickle)
    measured = replace(measured, workspace_bytes_per_px=_declared_workspace(workspace))
    lasting = _lasting(folder.spec, found)
    errors, notes = [*lasting, *_errors(folder, found, workspace)], _notes(folder, found)
    seen = tuple(look(network)) if spec.head == SEMANTIC and not lasting else ()
    report = CheckReport(folder, found, workspace, measured, tuple(errors), tuple(lasting), tuple(notes), seen)
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


def _lasting(spec: ModelSpec, found: Neighbourhood) -> list[str]:
    """What is wrong with the network itself, or with its classes."""
    errors = []
    if not found.deterministic:
        errors.append("the same image gave two different results")
    if not found.batch_independent:
        errors.append("an image's result depends on the other images of its batch")
    if found.outputs not in spec.outputs:
        errors.append(f"the network gives {found.outputs} outputs for {len(spec.classes)} classes")
    return errors


def _errors(folder: ModelFolder, found: Neighbourhood, workspace: float) -> list[str]:
    """Declarations that would give wrong results, and that measured values mend."""
    spec, undeclared = folder.spec, folder.undeclared
    errors = []
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
