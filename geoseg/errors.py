"""Every exception geoseg raises on purpose, and the exit status that belongs to it.

    GeosegError                     1  anything else
    ├── RequestError                2  the request is wrong
    │   ├── InvalidAOIError
    │   ├── UnknownModelError
    │   ├── ModelMismatchError          model and scenes do not fit
    │   ├── InputsContradictError       pixels are not what is said of them
    │   ├── ModelSpecError              a model folder contradicts itself
    │   ├── PluginError                 a plug-in cannot be used, or two have one name
    │   ├── OutputOccupiedError
    │   └── MemoryTooSmallError
    ├── NothingToDoError            3  no scenes, no overlap, all nodata
    ├── FailedPixelsError           4  more failed pixels than allowed
    ├── CatalogError                1  a catalogue cannot be read
    ├── WeightsError                1  weights missing, truncated or altered
    ├── AssetReadError              1  a raster cannot be opened where it must be
    │   └── AssetChangedError           a raster changed while it was being read
    ├── BundleError                 1  a bundle is not what its manifest says
    ├── OutputError                 1  a file could not be written whole
    └── InterruptedRunError       130  stopped by the user

A message has three parts, and prints as three lines: what was given, what was expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


def printable(text: str) -> str:
    """A text without what a terminal would obey, line breaks among it: names come from strangers, words from libraries."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The same, with a space for each line break."""
    return printable(" ".join(text.split()))


class GeosegError(Exception):
    """Base of all geoseg errors.

    Args:
        given: What geoseg was given, with its value.
        expected: What it expected instead.
        todo: What the user can do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, given: str, expected: str, todo: str) -> None:
        self.given = given
        self.expected = expected
        self.todo = todo
        super().__init__(given, expected, todo)

    def __str__(self) -> str:
        given, expected, todo = (one_line(part) for part in (self.given, self.expected, self.todo))
        return f"given:    {given}\nexpected: {expected}\nto do:    {todo}"


class RequestError(GeosegError):
    """The request is wrong, whatever the machine."""

    exit_code = 2


class InvalidAOIError(RequestError):
    """The area of interest cannot be read, or is not an area."""


class UnknownModelError(RequestError):
    """No model of that name, folder or address."""


class ModelMismatchError(RequestError):
    """The scenes do not have what the model wants."""


class InputsContradictError(RequestError):
    """Pixels are not what their metadata, or the request, says they are."""


class ModelSpecError(RequestError):
    """A model folder contradicts itself or lacks a fact that is needed."""


class PluginError(RequestError):
    """A plug-in cannot be used, or two have one name."""


class OutputOccupiedError(RequestError):
    """The output folder holds the results of another job."""


class MemoryTooSmallError(RequestError):
    """The memory limit is below the least possible one."""


class NothingToDoError(GeosegError):
    """There is nothing to work on."""

    exit_code = 3


class FailedPixelsError(GeosegError):
    """The run ended, with more failed pixels than allowed."""

    exit_code = 4


class CatalogError(GeosegError):
    """A catalogue could not be read."""


class WeightsError(GeosegError):
    """Weights are missing, truncated or altered."""


class AssetReadError(GeosegError):
    """A raster could not be opened where the plan depends on it."""


class AssetChangedError(AssetReadError):
    """A raster is no longer the one that the job began with."""


class BundleError(GeosegError):
    """A bundle is not what its manifest says."""


class OutputError(GeosegError):
    """A file could not be written whole."""


class InterruptedRunError(GeosegError):
    """The user or the system stopped the run.

    Args:
        given: What stopped it.
        expected: What is finished and kept.
        todo: How to go on.
        exit_code: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, given: str, expected: str, todo: str, exit_code: int = 130) -> None:
        super().__init__(given, expected, todo)
        self.exit_code = exit_code  # type: ignore[misc]  # the only error whose status depends on its cause


def unknown_name(what: str, name: str, known: Iterable[str], todo: str) -> RequestError:
    """The refusal of a name that nothing has, with the nearest ones that something has.

    Args:
        what: Kind of name, such as ``the keyword``.
        name: As it was given.
        known: What there is.
        todo: What the user can do next.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    nearest = "the nearest name" if len(near) == 1 else "the nearest names"
    expected = f"{' or '.join(near)} ({nearest})" if near else f"one of {', '.join(names)}"
    return RequestError(f"{what} {name}", expected, todo)


def wrong_value(problem: Mapping[str, Any], name: str, aside: str = "") -> RequestError:
    """The refusal of a value, in the words of the user instead of those of pydantic.

    Args:
        problem: One entry of ``ValidationError.errors()``.
        name: Under which the user gave the value: an option, a variable of the environment.
        aside: What to add in brackets.
    """
    return RequestError(
        f"{name} {problem['input']}" + (f" ({aside})" if aside else ""),
        _expectation(str(problem["type"]), problem.get("ctx", {}), str(problem["msg"])),
        "correct the value; geoseg run --help says what it may be",
    )


def _expectation(kind: str, limits: Mapping[str, Any], message: str) -> str:
    if kind in _EXPECTED:
        return _EXPECTED[kind].format_map(limits).replace("'", "")
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


# Kinds of pydantic's errors, in plain words.
_EXPECTED = {
    "literal_error": "one of {expected}",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than_equal": "a number of at most {le:g}",
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    "string_type": "text",
}
