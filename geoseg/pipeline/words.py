"""Prompts of a job, and whether its model takes any."""

from __future__ import annotations

from geoseg.errors import RequestError
from geoseg.models.spec import WORDS, ModelSpec
from geoseg.models.text_image import EMBEDS, MASKS
from geoseg.spec import JobSpec
from geoseg.words import WordSettings, WordsPlan, parse_prompts
from geoseg.words.prompts import MOST_ANSWERS


def words_of(spec: JobSpec, model: ModelSpec) -> WordsPlan | None:
    """What is asked of a text-image model; ``None`` for a model with classes of its own.

    Raises:
        RequestError: If a model with classes of its own is given prompts, or a text-image model none; or a prompt is
            none.
        ModelSpecError: If the model's item lacks a fact.
    """
    if model.head != WORDS:
        if spec.prompt or spec.example:
            raise RequestError(
                f"{'--prompt' if spec.prompt else '--example'} with the model {model.name}, which knows its own {len(model.classes)} classes and no words",
                "a text-image model",
                "leave --model away, or name one: geoseg models list shows them",
            )
        return None
    if not spec.prompt and spec.example is None:
        raise RequestError(
            f"the text-image model {model.name} without a prompt",
            "what to find, in words",
            "add --prompt 'forest, trees'",
        )
    if spec.legend is not None:
        raise RequestError(
            f"--legend {spec.legend} with --prompt", "classes that are the prompts", "drop one of the two"
        )
    if spec.example is not None and model.architecture.endswith(f":{MASKS}"):
        raise RequestError(
            f"--example with {model.name}, which draws masks for phrases and has no features to compare",
            "words alone",
            "drop --example, or name another model",
        )
    if spec.prompt and model.architecture == EMBEDS:
        raise RequestError(
            f"--prompt with {model.name}, which has features and knows no words",
            "outlined examples of each class",
            "add --example FILE and drop --prompt, or name a text-image model",
        )
    plan = WordsPlan.of(spec.prompt, WordSettings.of(model.name, model.head_settings), spec.without, _shown(spec))
    answers = len(plan.owners) + len(example_names(spec))
    if answers > MOST_ANSWERS:
        raise RequestError(
            f"{answers} phrases and classes of examples", f"at most {MOST_ANSWERS}", "ask for fewer at a time"
        )
    return plan


def _shown(spec: JobSpec) -> tuple[str, ...]:
    """Names of examples that are no phrase of a prompt."""
    known = {phrase for prompt in parse_prompts(spec.prompt) for phrase in prompt.meaning}
    return tuple(sorted(example_names(spec) - known))


def example_names(spec: JobSpec) -> set[str]:
    """What examples are called, in lower case."""
    features = (spec.example or {"features": []})["features"]
    return {" ".join(feature["properties"]["prompt"].split()).casefold() for feature in features}
