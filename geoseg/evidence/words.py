"""A candidate in sentences. Every number comes from its facts, digit for digit as the JSON has it."""

from __future__ import annotations

from geoseg.evidence.facts import Facts, Reason, Verdict
from geoseg.evidence.told import number, told

_WINDS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


def describe(
    identifier: int, facts: Facts, verdict: Verdict, confidence: float, kind: str, reasons: tuple[Reason, ...]
) -> str:
    """What is known of a candidate.

    Args:
        identifier: Of its polygon.
        facts: Its numbers.
        verdict: Of the rules.
        confidence: Calibrated, 0 to 1.
        kind: Likely kind, advisory; "" for none.
        reasons: Rules that spoke.
    """
    judged = "is kept as a landslide" if verdict == "kept" else "is demoted"
    sentences = [f"Polygon {identifier} {judged}, with a confidence of {number(confidence)}"]
    if facts.confidence_network is not None:
        sentences[0] += f" (the network alone: {told('confidence_network', facts.confidence_network)})"
    if kind:
        sentences.append(f"By its numbers it may be a {kind}")
    sentences += [text for text in (_size(facts), _slope(facts), _drop(facts), _around(facts)) if text]
    supporting = [reason.words for reason in reasons if reason.points > 0]
    against = [reason.words for reason in reasons if reason.points < 0]
    if supporting:
        sentences.append(f"For a landslide speaks that {_listed(supporting)}")
    if against:
        sentences.append(f"Against it speaks that {_listed(against)}")
    return " ".join(f"{sentence}." for sentence in sentences)


def wind(azimuth_deg: float) -> str:
    """The nearest of the eight winds."""
    return _WINDS[round(azimuth_deg / 45) % 8]


def _size(facts: Facts) -> str:
    if facts.area_m2 is None or facts.length_m is None or facts.width_m is None:
        return ""
    sides = f"about {told('length_m', facts.length_m)} long and {told('width_m', facts.width_m)} wide"
    return f"It covers {told('area_m2', facts.area_m2)}, {sides}"


def _slope(facts: Facts) -> str:
    if facts.slope_mean_deg is None or facts.slope_p90_deg is None:
        return "Its slope is not known" if facts.dem_share is None else ""
    text = f"Its mean slope is {told('slope_mean_deg', facts.slope_mean_deg)}, nine tenths of it stay below "
    text += told("slope_p90_deg", facts.slope_p90_deg)
    if facts.aspect_deg is not None:
        text += f", and it falls to the {wind(facts.aspect_deg)} ({told('aspect_deg', facts.aspect_deg)})"
    return text


def _drop(facts: Facts) -> str:
    if facts.height_drop_m is None or facts.runout_m is None or facts.travel_angle_deg is None:
        return ""
    text = f"From its highest to its lowest point it drops {told('height_drop_m', facts.height_drop_m)} over "
    text += f"{told('runout_m', facts.runout_m)}, a travel angle of {told('travel_angle_deg', facts.travel_angle_deg)}"
    if facts.relief_m is not None:
        text += f"; the relief around it is {told('relief_m', facts.relief_m)}"
    return text


def _around(facts: Facts) -> str:
    parts = []
    if facts.water_distance_m is not None:
        parts.append(f"the next water on the map is {told('water_distance_m', facts.water_distance_m)} away")
    if facts.cultivated_share is not None:
        parts.append(f"a share of {told('cultivated_share', facts.cultivated_share)} of its border is cultivated land")
    if facts.ndvi_drop is not None and facts.ndvi_lost_share is not None:
        drop, lost = told("ndvi_drop", facts.ndvi_drop), told("ndvi_lost_share", facts.ndvi_lost_share)
        fell = f"fell by {drop}" if facts.ndvi_drop > 0 else f"did not fall (NDVI before minus after: {drop})"
        parts.append(f"greenness {fell} between the dates, clearly on a share of {lost} of it")
    text = _listed(parts)
    return text[:1].upper() + text[1:]


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}" if parts else ""
