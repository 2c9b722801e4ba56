"""Every number of the list of faults has a test that names it, and `docs/faults.md` says which."""

from __future__ import annotations

import make_faults


def test_every_fault_has_a_test() -> None:
    missing = set(make_faults.TITLES) - set(make_faults.all_numbers())
    assert not missing, f"faults without a test: {sorted(missing)}"


def test_every_number_is_a_case_of_the_list() -> None:
    assert sorted(make_faults.TITLES) == list(range(1, 99))
    assert set(make_faults.all_numbers()) <= set(make_faults.TITLES)


def test_the_page_of_faults_is_that_of_the_tests():
    made = make_faults.page(make_faults.all_numbers())
    assert make_faults.PAGE.read_text(encoding="utf-8") == made, "run `make reference` and commit what it writes"
    assert all(f"| {number} | " in made for number in make_faults.TITLES)


def test_the_page_says_which_numbers_have_no_test() -> None:
    found = {number: [make_faults.Marked("a.py", f"test_{number}")] for number in make_faults.TITLES}
    assert "98 of 98 cases" in make_faults.page(found)
    assert "Without" not in make_faults.page(found)
    del found[5], found[61]
    page = make_faults.page(found)
    assert "96 of 98 cases" in page
    assert "Without a test: 5, 61." in page
    assert page.count("| none yet |") == 2


def test_a_test_that_is_named_after_a_fault_carries_its_number() -> None:
    """Names are for people, marks for programs: they must not part."""
    marked = {(number, one.name) for number, tests in make_faults.all_numbers().items() for one in tests}
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
    assert make_faults.numbers_of(source) == {8: ["test_one"], 7: ["test_one"]}
    whole = "pytestmark = [pytest.mark.slow, pytest.mark.fault(11)]\ndef test_one(): ..."
    assert make_faults.numbers_of(whole) == {11: ["test_one"]}
