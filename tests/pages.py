"""The project's pages as data: their fenced blocks, the commands in them, and which blocks are meant to be run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = "<!-- run -->"
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_SETS = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        line: Of the page, counted from 1, on which the text begins.
        language: Such as ``python``; empty for a terminal's lines.
        text: What is between the fences.
        is_run: Whether the comment ``<!-- run -->`` stands above it.
    """

    line: int
    language: str
    text: str
    is_run: bool


def pages(repository: Path) -> list[Path]:
    """README, changelog and everything below docs/."""
    return [*sorted(repository.glob("*.md")), *sorted((repository / "docs").rglob("*.md"))]


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    return [
        Fence(
            line=text.count("\n", 0, found.start(2)) + 1,
            language=found[1],
            text=found[2],
            is_run=text[: found.start()].rstrip().endswith(RUN),
        )
        for found in _FENCE.finditer(text)
    ]


def inline(page: Path) -> Iterator[str]:
    """Code between single backquotes."""
    for found in _INLINE.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield found[1]


def command_lines(text: str) -> list[str]:
    """The lines of a terminal: continued ones joined, comments and empty ones left out."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def geoseg_words(line: str) -> list[str] | None:
    """What follows ``geoseg`` in a line of a terminal, variables before it left out; ``None`` for another command."""
    words = shlex.split(line)
    while words and _SETS.fullmatch(words[0]):
        words.pop(0)
    return words[1:] if words[:1] == ["geoseg"] else None
