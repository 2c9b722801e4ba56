"""A fact's number in words, digit for digit as JSON has it."""

from __future__ import annotations

import json

from geoseg.evidence.facts import QUANTITIES

_UNITS = {"m": " m", "m2": " m²", "deg": "°", "share": "", "": ""}


def number(value: float) -> str:
    """Digits of a number as in JSON; whole numbers without decimals."""
    return str(int(value)) if float(value).is_integer() else json.dumps(value)


def told(fact: str, value: float) -> str:
    """A value with its unit."""
    return number(value) + _UNITS[QUANTITIES[fact].unit]
