"""The output folder: whose it is, who is at work in it, and that nothing of others is ever touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geoseg.errors import ModelMismatchError, OutputOccupiedError, RequestError
from geoseg.job import default_out, open_job
from geoseg.spec import JobSpec

ONE = JobSpec(model="m", scenes=("a.tif",))
OTHER = JobSpec(model="n", scenes=("a.tif",))
ITEMS = [{"id": "an item"}]


def take(out: Path, spec: JobSpec = ONE, *, fresh: bool = False, update: bool = False) -> None:
    """A whole run that writes one file."""
    with open_job(out, spec, fresh=fresh, update=update).taken(ITEMS):
        (out / "classes.tif").write_text(spec.model)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refusal(out: Path, spec: JobSpec = ONE, *, fresh: bool = False) -> RequestError:
    with pytest.raises(RequestError) as refused:
        open_job(out, spec, fresh=fresh, update=False)
    assert len(str(refused.value).splitlines()) == 3
    assert str(out) in refused.value.given
    return refused.value


def test_looking_at_a_folder_writes_nothing(tmp_path):
    assert open_job(tmp_path / "map", ONE, fresh=False, update=False).documents == ()
    assert open_job(tmp_path / "map", ONE, fresh=True, update=False).documents == ()
    assert list(tmp_path.iterdir()) == []


def test_the_same_job_finds_its_frozen_items_again_until_it_is_to_search_anew(tmp_path):
    take(tmp_path)
    assert list(open_job(tmp_path, ONE, fresh=False, update=False).documents) == ITEMS
    assert open_job(tmp_path, ONE, fresh=False, update=True).documents == ()
    assert open_job(tmp_path, ONE, fresh=True, update=False).documents == ()


def test_the_folder_says_which_job_it_is(tmp_path):
    take(tmp_path)
    assert JobSpec(**json.loads((tmp_path / "job" / "spec.json").read_text())) == ONE


def test_another_job_is_refused_and_replaces_with_fresh(tmp_path):
    take(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").touch()
    before = contents(tmp_path)
    assert "--fresh" in refusal(tmp_path, OTHER).todo
    folder = open_job(tmp_path, OTHER, fresh=True, update=False)
    assert contents(tmp_path) == before, "nothing goes before the job is known to be good"
    with folder.taken(ITEMS):
        assert not (tmp_path / "classes.tif").exists()
        assert not (tmp_path / "more").exists()
    refusal(tmp_path, ONE)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["photo.jpg", ".hidden", "job/diary.txt"])
def test_files_of_others_are_refused_fresh_or_not(tmp_path, name, fresh):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert isinstance(refusal(tmp_path, fresh=fresh), OutputOccupiedError)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "map").touch()
    refusal(tmp_path / "map", fresh=True)


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    refusal(tmp_path / "file" / "map")
    refusal(tmp_path / "file" / "map", fresh=True)


def test_the_folder_above_is_made_for_the_default_place_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "does not exist" in refusal(tmp_path / "maps" / "one").given
    take(default_out(ONE))
    assert [path.name for path in tmp_path.iterdir()] == ["geoseg-out"]


def test_a_run_that_was_killed_as_it_began_is_no_obstacle(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "lock").write_text("process 1")
    (tmp_path / "job" / ".spec.json.1.part").write_text("{")
    take(tmp_path)
    assert (tmp_path / "classes.tif").read_text() == "m"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_job_that_is_refused_as_it_begins_leaves_the_folder_to_others(tmp_path, fresh):
    job = open_job(tmp_path / "map", ONE, fresh=fresh, update=False)
    with pytest.raises(ModelMismatchError), job.taken(ITEMS):
        raise ModelMismatchError("a network", "another one", "choose it")
    take(tmp_path / "map", OTHER)


def test_a_job_that_is_refused_as_it_goes_on_keeps_its_folder(tmp_path):
    take(tmp_path)
    with pytest.raises(ModelMismatchError), open_job(tmp_path, ONE, fresh=False, update=False).taken(ITEMS):
        raise ModelMismatchError("a network", "another one", "choose it")
    refusal(tmp_path, OTHER)


def test_a_torn_spec_is_another_jobs(tmp_path):
    take(tmp_path)
    (tmp_path / "job" / "spec.json").write_text("{")
    refusal(tmp_path)
    take(tmp_path, fresh=True)


def test_a_torn_list_of_items_is_searched_anew(tmp_path):
    take(tmp_path)
    (tmp_path / "job" / "items.json").write_text("[")
    assert open_job(tmp_path, ONE, fresh=False, update=False).documents == ()


@pytest.mark.fault(65)
def test_one_run_at_a_time(tmp_path):
    first, second = (open_job(tmp_path, ONE, fresh=False, update=False) for _ in range(2))
    with first.taken(ITEMS), pytest.raises(OutputOccupiedError, match="at work"), second.taken(ITEMS):
        pass
    with second.taken(ITEMS):
        pass


def test_a_run_that_came_first_is_not_written_over(tmp_path):
    """Both looked while the folder was empty."""
    early, late = (open_job(tmp_path, spec, fresh=False, update=False) for spec in (ONE, OTHER))
    with early.taken(ITEMS):
        (tmp_path / "classes.tif").write_text("early")
    with pytest.raises(OutputOccupiedError), late.taken(ITEMS):
        pass
    assert (tmp_path / "classes.tif").read_text() == "early"
    assert JobSpec(**json.loads((tmp_path / "job" / "spec.json").read_text())) == ONE


KILLED = """
import os, sys
from pathlib import Path
from geoseg.job import open_job
from geoseg.spec import JobSpec

with open_job(Path(sys.argv[1]), JobSpec(model="m", scenes=("a.tif",)), fresh=False, update=False).taken([]):
    os._exit(9)
"""


@pytest.mark.fault(65)
def test_a_killed_run_lets_go_of_its_folder(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == 9
    take(tmp_path)


def test_the_default_folder_is_named_after_workflow_and_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_out(ONE).parent == tmp_path / "geoseg-out"
    assert default_out(ONE) != default_out(OTHER)
    assert default_out(ONE).name.startswith("landcover-")


MANY = [{"id": f"item {number}", "words": "é\n[]," * number, "links": [number]} for number in range(200)]


def test_many_items_are_frozen_one_a_line_and_found_again(tmp_path):
    with open_job(tmp_path, ONE, fresh=False, update=False).taken(MANY):
        pass
    frozen = tmp_path / "job" / "items.json"
    assert json.loads(frozen.read_text()) == MANY, "one document of JSON, for those who read it whole"
    assert len(frozen.read_text().splitlines()) == len(MANY) + 2
    assert list(open_job(tmp_path, ONE, fresh=False, update=False).documents) == MANY
    assert list(open_job(tmp_path, ONE, fresh=False, update=True).forgotten) == MANY


def test_items_that_older_versions_froze_are_found(tmp_path):
    take(tmp_path)
    (tmp_path / "job" / "items.json").write_text(json.dumps(MANY, indent=1, sort_keys=True))
    assert list(open_job(tmp_path, ONE, fresh=False, update=False).documents) == MANY


@pytest.mark.parametrize("end", [-1, -2, -40, 2, 1, 0])
def test_a_list_that_is_torn_anywhere_is_searched_anew(tmp_path, end):
    with open_job(tmp_path, ONE, fresh=False, update=False).taken(MANY):
        pass
    frozen = tmp_path / "job" / "items.json"
    frozen.write_bytes(frozen.read_bytes()[:end])
    assert open_job(tmp_path, ONE, fresh=False, update=False).documents == ()


def test_a_job_without_items_freezes_none(tmp_path):
    with open_job(tmp_path, ONE, fresh=False, update=False).taken([]):
        pass
    assert json.loads((tmp_path / "job" / "items.json").read_text()) == []
    assert open_job(tmp_path, ONE, fresh=False, update=False).documents == ()
