"""Every number of the list of faults that has to hold by now has a test that names it."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
# Groups A to E and H; 47 belongs to the comparison of dates.
WANTED = {*range(1, 47), 48, *range(49, 56), *range(70, 76)}


def numbers_of(source: str) -> dict[int, list[str]]:
    """Number to the tests that carry it; what is not a test of a module carries none."""
    found: dict[int, list[str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                    found.setdefault(int(ast.literal_eval(mark.args[0])), []).append(node.name)
    return found


def all_numbers() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for number, names in numbers_of(path.read_text(encoding="utf-8")).items():
            found.setdefault(number, []).extend(names)
    return found


def test_every_fault_has_a_test() -> None:
    missing = WANTED - set(all_numbers())
    assert not missing, f"faults without a test: {sorted(missing)}"


def test_a_test_that_is_named_after_a_fault_carries_its_number() -> None:
    """Names are for people, marks for programs: they must not part."""
    marked = {(number, name) for number, names in all_numbers().items() for name in names}
    named = {(int(name.split("_")[2]), name) for _, name in marked if name.startswith("test_fault_")}
    assert named <= marked, f"marked with another number than their name says: {sorted(named - marked)}"


def test_the_count_sees_marks_and_nothing_else() -> None:
    source = """
@pytest.mark.fault(7)
@pytest.mark.fault(8)
def test_one(): ...

@pytest.mark.slow
def test_two(): "@pytest.mark.fault(9)"

@pytest.mark.fault(10)
def helper(): ...
"""
    assert numbers_of(source) == {8: ["test_one"], 7: ["test_one"]}
