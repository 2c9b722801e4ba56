"""Blocks that have ``<!-- run -->`` above them do what the page says: each ends well, one after the other, without a network.

What they print is not compared. Every page has a folder of its own with the demo, the region and the bands that pages name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import fences, pages

REPOSITORY = Path(__file__).resolve().parents[2]
RUNNABLE = [page for page in pages(REPOSITORY) if any(fence.is_run for fence in fences(page))]
NAMES = [str(page.relative_to(REPOSITORY)) for page in RUNNABLE]


@pytest.mark.parametrize("page", RUNNABLE, ids=NAMES)
def test_examples_run(page, terminal):
    names: dict[str, object] = {"__name__": "__main__"}
    for fence in fences(page):
        if fence.is_run and fence.language == "python":
            exec(compile(fence.text, f"{page}:{fence.line}", "exec"), names)
        elif fence.is_run:
            terminal(fence.text)


def test_pages_that_promise_a_first_command_have_one_that_runs():
    # Nothing shipped reads Landsat; what the page on plug-ins shows is run by tests/plugins/test_toy.py, and what that on
    # clusters shows by tests/cluster. Labels are the user's: what the pages on them show is run by
    # tests/labels, tests/training and tests/evaluation; the service and its page are run by tests/api.
    elsewhere = {"change-training.md", "cluster.md", "evaluate.md", "labels.md", "landsat.md", "map-page.md"}
    elsewhere |= {"plug-ins.md", "service.md", "train.md"}
    homes = sorted((REPOSITORY / "docs" / "howto").glob("*.md"))
    assert {page.name for page in homes if page not in RUNNABLE} == elsewhere
    assert REPOSITORY / "README.md" in RUNNABLE
