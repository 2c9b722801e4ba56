"""Docstrings in Google's style to Markdown: of functions, of classes with their members, and tables."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any


def function_words(name: str, function: Callable[..., Any], level: str = "##") -> list[str]:
    """Heading, signature and docstring of a function."""
    signature = inspect.signature(function)
    shown = [
        p.replace(default=p.default if _is_plain(p.default) else ...)
        for p in signature.parameters.values()
        if p.name not in ("self", "cls")
    ]
    text = re.sub(r"[A-Za-z_]+\.(?=[A-Za-z_.]*[A-Z])", "", str(signature.replace(parameters=shown)))
    return [
        f"{level} {name}",
        f"```python\ndef {name.rpartition('.')[2]}{text}: ...\n```".replace("'", ""),
        prose(docstring(function)),
    ]


def _is_plain(value: object) -> bool:
    return value is inspect.Parameter.empty or value is None or isinstance(value, str | int | float | bool)


def class_words(name: str, thing: type) -> list[str]:
    """A class with its docstring, and its public members that have one."""
    members = [m for m, value in vars(thing).items() if not m.startswith("_") and _own_docstring(value)]
    fields = [f.name for f in dataclasses.fields(thing)] if dataclasses.is_dataclass(thing) else []
    return [
        f"## {name}",
        prose(docstring(thing)),
        *member_words(name.rpartition(".")[2], thing, [m for m in members if m not in fields]),
    ]


def member_words(owner: str, thing: type, names: Sequence[str]) -> list[str]:
    """A table of a class's properties, and its methods one by one."""
    parts: list[str] = []
    rows = []
    for name in names:
        value = inspect.getattr_static(thing, name)
        if callable(getattr(thing, name)) and not isinstance(value, property):
            parts += function_words(f"{owner}.{name}", getattr(thing, name), "###")
        else:
            rows.append((f"`{name}`", _own_docstring(value).partition("\n")[0]))
    return [table(("property", "what it is"), rows) if rows else "", *parts]


def _own_docstring(value: Any) -> str:
    inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or getattr(value, "func", None) or value
    return inspect.cleandoc(inner.__doc__) if inspect.isroutine(inner) and inner.__doc__ else ""


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return docstring(thing).partition("\n")[0]


def docstring(thing: Any) -> str:
    """A docstring without its indentation; empty where there is none."""
    return inspect.cleandoc(thing.__doc__ or "")


def prose(docstring: str) -> str:
    """Markdown of a docstring in Google's style."""
    parts = []
    for title, entries in sections(docstring):
        if isinstance(entries, str):
            parts.append(one_line(entries) if not title else f"{title}: {one_line(entries)}")
        else:
            parts.append(f"{title}:")
            parts.append("\n".join(f"- `{name}`: {one_line(text)}" for name, text in entries))
    return "\n\n".join(parts)


def sections(docstring: str) -> Iterator[tuple[str, Any]]:
    """Paragraphs as ("", text), sections as (title, text) or (title, [(name, text)])."""
    for block in re.split(r"\n\n+", docstring):
        head, _, body = block.partition("\n")
        if head.rstrip(":") in {"Args", "Attributes", "Raises"} and head.endswith(":"):
            entries = re.split(r"\n(?=\S)", inspect.cleandoc("\n" + body))
            yield {"Args": "Arguments"}.get(head[:-1], head[:-1]), [_entry(entry) for entry in entries]
        elif head in {"Returns:", "References:"}:
            yield head[:-1], inspect.cleandoc("\n" + body)
        else:
            yield "", block


def _entry(entry: str) -> tuple[str, str]:
    name, _, text = entry.partition(":")
    return name, " ".join(text.split())


def one_line(words: str | None) -> str:
    """One line, code in single backquotes, roles of Sphinx without their names."""
    text = re.sub(r":\w+:`", "`", " ".join((words or "").split()))
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def table(names: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(_cell(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    """A cell: bars would end it, and brackets outside of code would be tags."""
    parts = one_line(text).replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))
