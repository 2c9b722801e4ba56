"""The documents point at things that exist."""

from __future__ import annotations

import re

import pytest

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
CODE_PATH = re.compile(r"`((?:tests|docs|geoseg|api|workflows)/[\w./-]*\w/?)(?:::(\w+))?`")


def documents(repository):
    return [*sorted(repository.glob("*.md")), *sorted((repository / "docs").rglob("*.md"))]


def test_links_between_documents_lead_somewhere(repository):
    broken = [
        f"{path.relative_to(repository)}: {target}"
        for path in documents(repository)
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists() and "NNN" not in target
    ]
    assert broken == []


def headings(path):
    """Anchors that a page has: its headings as hosts of repositories write them."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_links_to_headings_lead_to_one(repository):
    broken = [
        f"{path.relative_to(repository)}: {target}#{anchor}"
        for path in documents(repository)
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)", path.read_text(encoding="utf-8"))
        if anchor not in headings(path.parent / target if target else path)
    ]
    assert broken == []


def test_pictures_are_small_and_described(repository):
    shown = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", (repository / "README.md").read_text(encoding="utf-8"))
    assert [target for _, target in shown] == ["docs/pictures/report.png"]
    assert all(len(words) > 20 for words, _ in shown)
    assert (repository / "docs" / "pictures" / "report.png").stat().st_size <= 300_000


@pytest.mark.parametrize("name", ["README.md", "docs/contributing.md"])
def test_paths_and_tests_that_are_named_exist(repository, name):
    missing = []
    for path, test in CODE_PATH.findall((repository / name).read_text(encoding="utf-8")):
        target = repository / path
        if not target.exists() or (test and f"def {test}(" not in target.read_text(encoding="utf-8")):
            missing.append(f"{path}::{test}" if test else path)
    assert missing == []


def test_every_decision_is_in_the_index(repository):
    folder = repository / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    records = [path.name for path in sorted(folder.glob("[0-9]*.md")) if not path.name.startswith("000")]
    assert records
    assert [name for name in records if f"]({name})" not in index] == []


def test_make_targets_that_are_named_exist(repository):
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for path in documents(repository)
        for target in re.findall(r"`make ([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert named <= targets
