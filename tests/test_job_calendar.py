"""A job in a named folder, and the default time range, which is another one every month; other differences in words."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from geoseg.errors import OutputOccupiedError
from geoseg.job import open_job
from geoseg.spec import JobSpec
from geoseg.timerange import is_twelve_months, last_twelve_months

NOVEMBER, DECEMBER = dt.date(2026, 11, 21), dt.date(2026, 12, 2)
ITEMS = [{"id": "an item"}]


def spec(today: dt.date = NOVEMBER, **options: object) -> JobSpec:
    return JobSpec.build(aoi="9,47,9.1,47.1", model="m", catalog="https://example.org", today=today, **options)


def begin(out: Path, job: JobSpec) -> None:
    with open_job(out, job, fresh=False, update=False).taken(ITEMS):
        pass


def finish(out: Path, failed: int = 0) -> None:
    (out / "report.json").write_text(json.dumps({"pixels": {"failed": {"read": failed}}}))
    (out / "item.json").write_text("{}")


def refusal(out: Path, job: JobSpec) -> OutputOccupiedError:
    with pytest.raises(OutputOccupiedError) as refused:
        open_job(out, job, fresh=False, update=False)
    return refused.value


@pytest.mark.parametrize("failed", [None, 5])
@pytest.mark.parametrize("update", [False, True])
def test_an_unfinished_job_goes_on_with_the_months_that_it_began_with(tmp_path, failed, update):
    begin(tmp_path, spec())
    if failed is not None:
        finish(tmp_path, failed)
    job = open_job(tmp_path, spec(DECEMBER), fresh=False, update=update)
    assert job.spec == spec()
    assert list(job.forgotten if update else job.documents) == ITEMS
    (words,) = job.notes
    assert "2025-11-01/2026-10-31" in words
    assert "2025-12-01/2026-11-30" in words
    assert "--fresh" in words
    assert not open_job(tmp_path, spec(), fresh=False, update=update).notes


def test_a_finished_job_is_refused_with_the_way_to_both(tmp_path):
    begin(tmp_path, spec())
    finish(tmp_path)
    err = refusal(tmp_path, spec(DECEMBER))
    assert "--datetime 2025-11-01/2026-10-31 there, 2025-12-01/2026-11-30 here" in err.given
    assert "--datetime 2025-11-01/2026-10-31" in err.todo
    assert "--fresh" in err.todo


def test_fresh_takes_the_new_months(tmp_path):
    begin(tmp_path, spec())
    job = open_job(tmp_path, spec(DECEMBER), fresh=True, update=False)
    assert job.spec == spec(DECEMBER)
    (note,) = job.notes  # the months are not exchanged in silence
    assert "--datetime 2025-11-01/2026-10-31 there, 2025-12-01/2026-11-30 here" in note


def test_dates_that_someone_stated_are_never_exchanged(tmp_path):
    begin(tmp_path, spec())
    refusal(tmp_path, spec(datetime="2025-12-01/2026-11-30"))
    (tmp_path / "other").mkdir()
    begin(tmp_path / "other", spec(datetime="2022-06-01/2022-08-31"))
    refusal(tmp_path / "other", spec())


def test_another_job_is_another_job_in_any_month(tmp_path):
    begin(tmp_path, spec())
    err = refusal(tmp_path, spec(DECEMBER, composite="first"))
    assert "--composite" in err.given


def test_the_default_range_is_recognised():
    assert all(is_twelve_months(last_twelve_months(dt.date(2024, month, 29))) for month in range(1, 13))
    for text in (None, "", "2022-01-01", "2022-01-01/..", "2022-01-01/2022-06-30", "2022-01-02/2022-12-31"):
        assert not is_twelve_months(text)


def test_another_format_names_itself_and_says_that_tiles_are_kept(tmp_path):
    begin(tmp_path, spec())
    err = refusal(tmp_path, spec(format="gpkg"))
    assert "--format parquet there, gpkg here" in err.given
    assert "tiles are kept" in err.todo
    assert err.todo.index("--fresh") < err.todo.index("--out")


def test_many_differences_are_counted_and_regions_have_no_text(tmp_path):
    begin(tmp_path, spec())
    other = JobSpec.build(
        aoi="9,47,9.2,47.1", model="n", catalog="https://example.com", collection="c", today=NOVEMBER, min_area_m2=3.0
    )
    err = refusal(tmp_path, other)
    assert "--aoi another there" in err.given
    assert "and 2 more" in err.given
    assert len(err.given) < 400
