"""How scores become a map: the facts of a text-image model, and which steps a job leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from geoseg.errors import ModelSpecError

#: Steps of the algorithm that can be left out; see docs/decisions/032-words.md for what each is for.
Step = Literal["templates", "synonyms", "bias", "generic", "gate", "mixing", "guide", "reject"]
STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True, slots=True)
class WordSettings:
    """Facts of a text-image model, from ``geoseg.head_settings`` of its item.

    Attributes:
        temperature: What cosines are divided by before the softmax.
        null: Cosine that stands for none of the prompts; ``None`` where the model has none, and phrases do.
        background: Phrases that stand for none of the prompts.
        templates: Sentences around a phrase, with ``{}`` where it stands.
        bias: Share of the window's own cosine that is taken off every cell of it.
        generic: Phrases that mean nothing; the mean cosine of a cell with them is taken off all its cosines.
        gate: How many times the logarithm of the presence is added, in temperatures; 0 for none.
        gate_floor: Least presence, so that a wrong gate does not put out what is seen plainly.
        gate_side: Side in cells of the neighbourhood in which a prompt has to be likely for a window to have it; 0 asks
            for high cosines of single cells instead.
        gate_tau: Mean probability of such a neighbourhood at which a prompt is as likely there as not; of single cells
            their mean cosine. ``None`` takes a half, and of cosines the window's median and twice its median absolute
            deviation.
        gate_scale: Over how much of that the presence rises.
        guide_scale: Value of the bands that counts as white when edges are looked for.
        guide_eps: Below what variance of the guide there is no edge.
        least: Least probability of a prompt.
        lead: Least lead of a prompt over the next answer.
        vocabulary: Words that the model knows; empty for models that know more than can be listed.
    """

    temperature: float
    null: float | None = None
    background: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("{}",)
    bias: float = 0.0
    generic: tuple[str, ...] = ()
    gate: float = 0.0
    gate_floor: float = 0.05
    gate_side: int = 0
    gate_tau: float | None = None
    gate_scale: float = 0.05
    guide_scale: float = 1.0
    guide_eps: float = 1e-3
    least: float = 0.0
    lead: float = 0.0
    vocabulary: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> WordSettings:
        """Those of a model.

        Args:
            name: The model.
            document: JSON of its item.

        Raises:
            ModelSpecError: If a name or a type is wrong.
        """
        known = {entry.name for entry in fields(cls)}
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        if unknown := sorted(set(given) - known):
            raise _wrong(name, f"{', '.join(unknown)}, which it does not know")
        try:
            made = cls(**given)
            good = made.temperature > 0 and made.guide_scale > 0 and all("{}" in text for text in made.templates)
        except TypeError as err:
            raise _wrong(name, str(err)) from err
        if not good:
            raise _wrong(name, "a temperature or a scale below 0, or a template without {}")
        return made

    def without(self, steps: Iterable[str]) -> WordSettings:
        """The same with some steps left out; ``synonyms`` and ``mixing`` are looked at where they are done."""
        nothing: dict[str, dict[str, Any]] = {
            "templates": {"templates": ("{}",)},
            "bias": {"bias": 0.0},
            "generic": {"generic": ()},
            "gate": {"gate": 0.0},
            "reject": {"least": 0.0, "lead": 0.0},
        }
        changed: dict[str, Any] = {}
        for step in steps:
            changed |= nothing.get(step, {})
        return replace(self, **changed)

    def to_json(self) -> dict[str, Any]:
        """As it stands in an item."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def _wrong(name: str, why: str) -> ModelSpecError:
    return ModelSpecError(
        f"model {name!r}: head settings with {why}",
        f"the settings of a text-image model: {', '.join(entry.name for entry in fields(WordSettings))}",
        "correct geoseg.head_settings in the model's item.json",
    )
