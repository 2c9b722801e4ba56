"""Where a job runs: sizes in words, settings that are wrong, and what comes before what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import RequestError
from geoseg.settings import Settings, default_memory_bytes, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4e9), ("512MiB", 2**29), ("2e9", 2e9), ("1.5 GiB", 1.5 * 2**30), ("100", 100), ("3k", 3000), (7, 7)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@given(st.integers(1, 10**6), st.sampled_from(["kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]))
def test_a_unit_means_what_it_says(number, unit):
    power = "kMGT".lower().index(unit[0].lower()) + 1
    assert parse_size(f"{number}{unit}") == number * (1024 if "i" in unit else 1000) ** power


@pytest.mark.parametrize("text", ["", "lots", "GB", "-4GB", "4 XB", "4GB!", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(RequestError) as refused:
        Settings.with_options(max_memory=text)
    assert "4GB" in refused.value.expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", 1.5),
        ("max_memory", "lots"),
        ("device", "tpu"),
        ("backend", "jax"),
        ("max_failed", 2),
        ("max_failed", -0.1),
        ("tile_size", 0),
        ("max_pixels", 0),
    ],
)
def test_a_wrong_setting_is_refused_in_three_lines_that_name_it(name, value):
    with pytest.raises(RequestError) as refused:
        Settings.with_options(**{name: value})
    assert name.replace("_", "-") in refused.value.given
    assert len(str(refused.value).splitlines()) == 3


def test_a_wrong_variable_of_the_environment_is_named_as_one(monkeypatch):
    monkeypatch.setenv("GEOSEG_MAX_FAILED", "2")
    with pytest.raises(RequestError, match="GEOSEG_MAX_FAILED 2") as refused:
        Settings.with_options(workers=2)
    assert "at most 1" in refused.value.expected
    assert Settings.with_options(max_failed=0.5).max_failed == 0.5


def test_options_come_before_the_environment_and_the_environment_before_defaults(monkeypatch, tmp_path):
    assert Settings.with_options().workers is None
    monkeypatch.setenv("GEOSEG_WORKERS", "2")
    monkeypatch.setenv("GEOSEG_MAX_MEMORY", "3GB")
    monkeypatch.setenv("GEOSEG_MODELS", f"{tmp_path}:/other")
    monkeypatch.setenv("GEOSEG_CATALOG", "https://c.example")
    settings = Settings.with_options(workers=None)
    assert (settings.workers, settings.max_memory) == (2, 3 * 10**9)
    assert settings.models == (tmp_path, Path("/other"))
    assert settings.catalog == "https://c.example"
    assert Settings.with_options(workers=4).workers == 4


def test_folders_do_not_move_with_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = Settings.with_options(out=Path("map"), cache=Path("~/cache"))
    assert settings.out == tmp_path / "map"
    assert settings.cache == Path.home() / "cache"


@pytest.mark.parametrize("name", ["CACHE", "OUT", "STORE", "WORKERS", "OFFLINE", "MAX_MEMORY"])
def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch, name):
    """An empty path would be the working folder, and `geoseg cache clear` would remove its tiles."""
    monkeypatch.delenv(f"GEOSEG_{name}", raising=False)
    default = Settings.with_options()
    monkeypatch.setenv(f"GEOSEG_{name}", "")
    assert Settings.with_options() == default


def test_default_memory_leaves_room_for_others():
    import psutil

    assert 0 < default_memory_bytes() <= min(8 * 10**9, psutil.virtual_memory().total // 2)
