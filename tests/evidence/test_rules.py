"""Rules, words and comments: what is judged and told equals the JSON."""

from __future__ import annotations

import json
import re
from importlib import resources
from importlib.metadata import EntryPoint

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import PluginError, RequestError
from geoseg.evidence import Candidate, Evidence, Facts, json_schema, load_rules
from geoseg.evidence.comments import LoadedCommentator, contradictions, load_commentator
from geoseg.evidence.facts import QUANTITIES
from geoseg.evidence.rules import Ramp, Rules
from geoseg.evidence.schema import schema_text
from geoseg.evidence.words import describe, wind
from geoseg.plugins import COMMENTATORS, Plugin

RULES = load_rules("landslide")
SHIPPED = yaml.safe_load(resources.files("geoseg.evidence").joinpath("landslide.yaml").read_text())
SLIDE = {
    "area_m2": 23_412.4, "confidence_network": 0.914, "length_m": 412, "width_m": 71, "elongation": 5.8,
    "orientation_deg": 12, "slope_mean_deg": 27.31, "slope_p90_deg": 34.96, "slope_spread": 0.9, "gentle_share": 0.02,
    "aspect_deg": 193, "relief_m": 240, "height_drop_m": 151.72, "hypsometric_integral": 0.4, "runout_m": 380,
    "travel_angle_deg": 21.8, "fall_elongation": 4.9, "descent_ratio": 0.78, "dem_share": 1,
    "water_distance_m": 143, "cultivated_share": 0.06,
}  # fmt: skip
FIELD = {**SLIDE, "slope_mean_deg": 1.2, "slope_p90_deg": 2, "gentle_share": 1, "height_drop_m": 1.4, "fall_elongation": 0.7,
         "descent_ratio": 0.4, "cultivated_share": 0.92}  # fmt: skip


def judged(values: dict, identifier: int = 17, rules: Rules = RULES) -> Candidate:
    facts = Facts.rounded(**values)
    score, reasons, unknown = rules.score(facts)
    verdict, confidence = rules.judge(score, with_dem=facts.dem_share is not None)
    kind = rules.kind(facts) if verdict == "kept" else ""
    words = describe(identifier, facts, verdict, confidence, kind, reasons)
    return Candidate(id=identifier, facts=facts, verdict=verdict, confidence=confidence, kind=kind, reasons=reasons,
                     unknown=unknown, words=words)  # fmt: skip


def numbers_of(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text)]


def values_of(candidate: Candidate) -> set[float]:
    document = json.loads(candidate.model_dump_json())
    return {document["id"], document["confidence"], *(v for v in document["facts"].values() if v is not None)}


def test_a_steep_tongue_down_the_hill_is_kept_and_a_level_field_demoted():
    slide, field = judged(SLIDE), judged(FIELD)
    assert (slide.verdict, field.verdict) == ("kept", "demoted")
    assert slide.confidence > 0.9
    assert field.confidence < 0.1
    assert slide.kind == "debris flow"
    assert not field.kind
    assert {"gentle", "in-fields", "keeps-level"} <= {reason.rule for reason in field.reasons}
    assert all(reason.points < 0 for reason in field.reasons)


FINITE = st.floats(0, 5000, allow_nan=False)


@given(st.fixed_dictionaries({name: st.one_of(st.none(), FINITE) for name in QUANTITIES}))
def test_every_number_of_the_words_is_one_of_the_json(values):
    values["confidence_network"] = None if values["confidence_network"] is None else values["confidence_network"] / 5000
    candidate = judged(values)
    known = values_of(candidate)
    assert set(numbers_of(candidate.words)) <= known
    for reason in candidate.reasons:
        assert set(numbers_of(reason.words)) <= {reason.value}
        assert reason.value in known


def test_a_known_candidate_is_told_in_full():
    told = numbers_of(judged(SLIDE).words)
    facts = judged(SLIDE).facts
    for name in ("area_m2", "length_m", "slope_mean_deg", "aspect_deg", "height_drop_m", "runout_m", "relief_m"):
        assert getattr(facts, name) in told
    assert "falls to the south (193°)" in judged(SLIDE).words


def test_the_parts_of_the_score_add_up():
    facts = Facts.rounded(**SLIDE)
    score, reasons, _ = RULES.score(facts)
    network = RULES.network_points * np.log(0.914 / 0.086)
    assert score == pytest.approx(network + sum(reason.points for reason in reasons))


def test_a_fact_that_is_not_known_adds_nothing_and_is_named():
    without = {name: value for name, value in SLIDE.items() if name != "fall_elongation"}
    score, reasons, unknown = RULES.score(Facts.rounded(**without))
    assert "fall_elongation" in unknown
    assert not {"downhill", "across", "compact"} & {reason.rule for reason in reasons}
    assert score == pytest.approx(RULES.score(Facts.rounded(**SLIDE))[0] - 2.0)


@given(value=st.floats(-100, 100), none=st.floats(-50, 50), width=st.floats(0.1, 40), up=st.booleans())
def test_a_ramp_rises_from_none_to_full_either_way(value, none, width, up):
    ramp = Ramp(fact="slope_mean_deg", none=none, full=none + width if up else none - width)
    assert 0 <= ramp.weight(value) <= 1
    assert ramp.weight(ramp.none) == 0
    assert ramp.weight(ramp.full) == 1
    assert ramp.weight((ramp.none + ramp.full) / 2) == pytest.approx(0.5)


def test_a_rule_that_needs_another_counts_as_the_lesser():
    bar = {**FIELD, "water_distance_m": 10}
    hill = {**SLIDE, "water_distance_m": 10}
    assert "river-bar" in {reason.rule for reason in judged(bar).reasons}
    assert "river-bar" not in {reason.rule for reason in judged(hill).reasons}


def test_own_rules_replace_the_shipped_ones(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**SHIPPED, "keep_from": 1.0}))
    mine = load_rules(str(path))
    assert judged(SLIDE, rules=mine).verdict == "demoted"
    assert mine.sha256 != RULES.sha256
    assert load_rules("landslide").sha256 == RULES.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rules": [{"name": "x", "fact": "colour", "none": 0, "full": 1, "points": 1, "says": ""}]}, "no fact colour"),
        ({"rules": [{"name": "x", "fact": "area_m2", "none": 1, "full": 1, "points": 1, "says": ""}]}, "both 1"),
        ({"keep_from": 2}, "keep_from"),
        ({"colour": "red"}, "colour"),
        ({"landslide_classes": []}, "landslide_classes"),
    ],
)
def test_a_table_that_is_none_is_refused_in_three_lines(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**SHIPPED, **change}))
    with pytest.raises(RequestError) as refused:
        load_rules(str(path))
    assert words in str(refused.value)
    assert str(path) in refused.value.given
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["- a", "rules: [", "", None])
def test_a_file_that_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RequestError, match=r"mine\.yaml"):
        load_rules(str(path))


def test_an_unknown_name_of_rules_is_refused():
    with pytest.raises(RequestError, match="avalanche"):
        load_rules("avalanche")


def test_the_shipped_schema_is_that_of_the_values():
    assert json.dumps(json_schema(), indent=2) + "\n" == schema_text()
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_takes_evidence_and_refuses_what_is_none():
    evidence = Evidence(rules=RULES.model_dump(mode="json"), rules_sha256=RULES.sha256, calibration="with-dem",
                        classes=("landslide",), candidates=1, kept=1, listed=(judged(SLIDE),))  # fmt: skip
    document = json.loads(evidence.model_dump_json())
    jsonschema.validate(document, json_schema())
    for wrong in ({"kept": "one"}, {"listed": [{}]}, {"colour": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **wrong}, json_schema())


@pytest.mark.parametrize(
    ("azimuth", "name"),
    [(0, "north"), (22, "north"), (23, "north-east"), (180, "south"), (338, "north"), (337, "north-west")],
)
def test_winds(azimuth, name):
    assert wind(azimuth) == name


# Comments


@pytest.mark.parametrize(
    "text",
    [
        "A steep, elongated scar on a south-facing slope of 27 degrees.",
        "It is about 410 m long and drops 150 metres; 2.3 ha are bare.",
        "The slope is not gentle, and there is no cropland. 91 % sure.",
        "In 2021 three scars were seen; number 5 of 7.",
    ],
)
def test_a_comment_that_agrees_is_not_flagged(text):
    assert contradictions(text, judged(SLIDE)) == ()


@pytest.mark.parametrize(
    ("text", "fact", "said"),
    [
        ("It lies on flat ground.", "slope_mean_deg", "flat"),
        ("A slope of 5 degrees.", "aspect_deg|slope|travel|orientation", "5 degrees"),
        ("It drops 900 m.", "length_m", "900 m"),
        ("It covers 12 hectares.", "area_m2", "12 hectares"),
        ("A north-facing slope.", "aspect_deg", "north-facing"),
        ("A compact patch.", "elongation", "compact"),
        ("This is not a landslide.", "confidence", "not a landslide"),
        ("Bare ground in ploughed fields.", "cultivated_share", "in ploughed fields"),
    ],
)
def test_what_the_numbers_deny_is_flagged(text, fact, said):
    found = contradictions(text, judged(SLIDE))
    assert [one.said for one in found] == [said]
    assert re.match(fact, found[0].fact)


@pytest.mark.parametrize(
    ("text", "drop", "said"),
    [
        ("The slope lost its vegetation.", 0.01, ["lost its vegetation"]),
        ("The slope lost its vegetation.", 0.4, []),
        ("The forest is still intact.", 0.4, ["forest is still intact"]),
        ("The forest is still intact.", None, []),
    ],
)
def test_what_two_dates_deny_is_flagged(text, drop, said):
    found = contradictions(text, judged({**SLIDE, "ndvi_drop": drop, "ndvi_lost_share": drop}))
    assert [one.said for one in found] == said


@pytest.mark.parametrize("drop", [0.32, 0.0, -0.21])
def test_losses_are_told_digit_for_digit_and_rules_count_them(drop):
    told = judged({**SLIDE, "ndvi_drop": drop, "ndvi_lost_share": 0.7, "ndvi_seen_share": 1.0})
    assert set(numbers_of(told.words)) <= values_of(told)
    rule = "lost-plants" if drop > 0.1 else "kept-plants"
    assert rule in {reason.rule for reason in told.reasons}
    assert told.confidence > judged(SLIDE).confidence if drop > 0.1 else told.confidence < judged(SLIDE).confidence


def test_water_that_is_not_there_is_flagged_where_the_map_knows_water():
    dry = judged({**SLIDE, "water_distance_m": None})
    assert [one.fact for one in contradictions("It ends beside the river.", dry)] == ["water_distance_m"]
    assert contradictions("It ends beside the river.", dry, knows_water=False) == ()
    assert contradictions("It ends beside the river.", judged(SLIDE)) == ()


def _commentator(call) -> LoadedCommentator:
    return LoadedCommentator(Plugin(COMMENTATORS, "toy", "toy:call", "toy", "1"), call)


def test_a_commentator_gets_the_json_and_its_words_are_kept_and_judged():
    seen = []

    def call(candidate, picture):
        seen.append((candidate, picture))
        return "Flat ground."

    candidate = judged(SLIDE)
    comment = _commentator(call).comment(candidate, np.zeros((2, 2, 3), np.uint8), knows_water=True)
    assert seen[0][0] == json.loads(candidate.model_dump_json())
    assert comment.text == "Flat ground."
    assert [one.said for one in comment.contradictions] == ["Flat"]


@pytest.mark.parametrize("call", [lambda *_: 7, lambda *_: 1 / 0])
def test_a_commentator_that_fails_is_named(call):
    with pytest.raises(PluginError, match="toy"):
        _commentator(call).comment(judged(SLIDE), None, knows_water=True)


def test_an_unknown_commentator_is_refused():
    with pytest.raises(RequestError, match="--comment nobody"):
        load_commentator("nobody")
    assert EntryPoint("a", "b:c", COMMENTATORS).group == "geoseg.commentators"
