"""Prompts in words: synonyms, order, and words that a model does not know."""

from __future__ import annotations

import itertools

import pytest

from geoseg.errors import ModelSpecError, RequestError
from geoseg.words import WordSettings, WordsPlan, parse_prompts
from geoseg.words.prompts import unknown_words

SETTINGS = WordSettings(temperature=0.07, null=0.3, vocabulary=("forest", "trees", "river", "red", "roof"))


def test_a_prompt_is_a_class_with_its_synonyms():
    forest, river = parse_prompts(["  forest,trees ,  dense   woodland", "river"])
    assert (forest.name, forest.text) == ("forest", "forest, trees, dense woodland")
    assert forest.meaning == ("dense woodland", "forest", "trees")
    assert river.synonyms == ("river",)


def test_no_order_of_prompts_or_synonyms_changes_what_is_computed():
    texts = ["forest, trees", "river", "red roof"]
    plans = [WordsPlan.of(order, SETTINGS) for order in itertools.permutations(texts)]
    assert len({plan.digest for plan in plans}) == 1
    assert len({tuple(info.name for info in plan.classes) for plan in plans}) == 1
    assert WordsPlan.of(["trees, forest", "river", "red roof"], SETTINGS).digest == plans[0].digest
    assert WordsPlan.of(["forest", "river", "red roof"], SETTINGS).digest != plans[0].digest


@pytest.mark.parametrize(
    "texts", [[" , "], ["forest", "trees, Forest"], [f"word{n}" for n in range(64)], ["forest", "other, Background"]]
)
def test_what_is_no_list_of_prompts_is_refused(texts):
    with pytest.raises(RequestError):
        parse_prompts(texts)


def test_unknown_words_leave_a_prompt_empty_and_say_so():
    plan = WordsPlan.of(["landslide scar", "the red roof, crimson roof", "river"], SETTINGS)
    assert plan.phrases == ("the red roof", "river")
    assert [info.name for info in plan.classes] == ["background", "the red roof", "landslide scar", "river"]
    empty, partial = sorted(plan.warnings("toy"), key=lambda text: "crimson" in text)
    assert "stays empty" in empty
    assert "landslide" in empty
    assert "crimson" in partial
    assert unknown_words("of the", SETTINGS.vocabulary) == ("of the",)


def test_settings_with_names_that_nobody_knows_are_refused():
    with pytest.raises(ModelSpecError):
        WordSettings.of("toy", {"temperature": 0.1, "tau": 2})
    with pytest.raises(ModelSpecError):
        WordSettings.of("toy", {"temperature": 0.0})
    assert WordSettings.of("toy", SETTINGS.to_json()) == SETTINGS
