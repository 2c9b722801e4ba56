"""Words that make no command: the parser's refusals as three lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer

from geoseg.errors import RequestError, unknown_name

__all__ = ["UsageError", "refusal"]

# typer has no public name for what its parser raises; this one is what they all are.
UsageError: Any = typer.BadParameter.__base__


def refusal(err: Any, words: Sequence[str]) -> RequestError:  # Any: see above
    """A refusal of the parser in our words.

    Args:
        err: A ``UsageError``.
        words: What was typed after ``geoseg``.
    """
    command = err.ctx.command_path if err.ctx is not None else _command(words)
    todo = f"{command} --help says what it takes"
    match type(err).__name__:
        case "NoSuchOption":
            known = [name for name in _options(err) if name.startswith("--")]
            return unknown_name("the option", err.option_name, known, todo)
        case "BadOptionUsage":
            expected = "no value after it" if "does not take" in err.message else "a value after it"
            return RequestError(f"{err.option_name}, in {_line(words)}", expected, todo)
        case "MissingParameter":
            return RequestError(_line(words), f"{_name(err.param)} after it", todo)
        case "BadParameter":
            return RequestError(f"{_name(err.param)} {_value(err.param, words)}", _expected(err.message), todo)
    return _stray(err, words, command, todo)


def _stray(err: Any, words: Sequence[str], command: str, todo: str) -> RequestError:
    """A word that is no command, or that follows no option."""
    unknown = re.match(r"No such command '(.*?)'", err.message)
    if unknown is not None and err.ctx is not None:
        return unknown_name("the command", unknown[1], err.ctx.command.list_commands(err.ctx), todo)
    extra = re.search(r"unexpected extra arguments?.*?\((.*)\)", err.message)
    if extra is not None:
        return RequestError(
            f"{_line(words)}, where {extra[1]} belongs to no option", "an option before each value", todo
        )
    return RequestError(f"{_line(words)}: {err.message}", f"what {command} takes", todo)


def _options(err: Any) -> list[str]:
    return [name for parameter in err.ctx.command.params for name in parameter.opts] if err.ctx is not None else []


def _name(parameter: Any) -> str:
    """An option as it is typed, or the name of a place for a word."""
    longest: str = max(parameter.opts, key=len)
    return longest if longest.startswith("-") else longest.upper()


def _value(parameter: Any, words: Sequence[str]) -> str:
    """What was typed for an option; "" where it cannot be told."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in parameter.opts:
            return value if equals else "".join(words[place + 1 : place + 2])
    return ""


def _expected(message: str) -> str:
    """The parser says ``Input should be a valid number, unable to …``, or ``'ten' is not a valid float``."""
    text = message.removeprefix("Input should be ").partition(", unable")[0]
    return text.rpartition(" is not ")[2].rstrip(".")


def _command(words: Sequence[str]) -> str:
    return " ".join(["geoseg", *words[:1]])


def _line(words: Sequence[str]) -> str:
    return " ".join(["geoseg", *words])
