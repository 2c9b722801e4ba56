"""Ctrl-C and a request to end: soon, with what is finished kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import worlds

import geoseg
from geoseg.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return worlds.finite_model(tmp_path_factory.mktemp("model") / "model").path


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """A raster of more tiles than are done before a signal arrives."""
    image = worlds.landscape((224, 224), 3, seed=2).astype("uint8")
    return worlds.write_raster(tmp_path_factory.mktemp("wide") / "wide.tif", image, names=worlds.BANDS)


@pytest.mark.fault(66)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_time_and_the_same_command_goes_on(
    model, wide, tmp_path, monkeypatch, capsys, number, status
):
    cache, out = tmp_path / "cache", tmp_path / "map"
    request = ["run", "--scenes", str(wide), "--model", str(model), "--out", str(out), "--device", "cpu"]
    request += ["--tile-size", "1"]
    monkeypatch.setenv("GEOSEG_CACHE", str(cache))
    process = subprocess.Popen(
        [sys.executable, "-m", "geoseg", *request],
        env={**os.environ, "PYTHONPATH": str(Path(geoseg.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(cache.rglob("*.zip")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(number)
    said, err = process.communicate(timeout=15)  # 8 s of grace, and the end of the interpreter
    assert process.returncode == status, err
    assert said == ""
    assert "finished and kept" in err.strip().splitlines()[-2]
    assert not (out / "classes.tif").exists()
    kept = len(list(cache.rglob("*.zip")))
    assert kept > 0
    with pytest.raises(SystemExit) as ended:
        main([*request, "--json", "--quiet"])
    assert ended.value.code == 0
    tiles = json.loads(capsys.readouterr().out.splitlines()[-1])["tiles"]
    assert tiles["reused"] == kept
    assert tiles["reused"] + tiles["computed"] == tiles["total"] == 8 * 8


def converting(model: Path, wide: Path, folder: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A run that converts its network for OpenVINO, and the process in which that is done."""
    words = [sys.executable, "-m", "geoseg", "run", "--scenes", str(wide), "--model", str(model), "--quiet"]
    words += ["--backend", "openvino", "--device", "cpu", "--out", str(folder / "map")]
    environment = {**os.environ, "GEOSEG_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    environment["PYTHONPATH"] = str(Path(geoseg.__file__).parent.parent)
    run = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    while True:
        assert run.poll() is None, run.communicate()[1]
        for child in psutil.Process(run.pid).children():
            with contextlib.suppress(psutil.Error):
                if any("answer()" in word for word in child.cmdline()):
                    return run, child
        time.sleep(0.005)


@pytest.mark.fault(66)
def test_a_run_that_is_told_to_end_while_it_converts_ends_and_leaves_nobody_behind(model, wide, tmp_path):
    run, child = converting(model, wide, tmp_path)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 143, err
    assert "run the same command again" in err.strip().splitlines()[-1], "not ended after the time of grace"
    assert [line[:10].rstrip() for line in err.strip().splitlines()[-3:]] == ["given:", "expected:", "to do:"]
    assert psutil.wait_procs([child], timeout=60)[1] == []
    assert not (tmp_path / "map").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cache"], "its folder of scratch is gone too"


def test_what_converts_ends_when_the_run_is_killed(model, wide, tmp_path):
    run, child = converting(model, wide, tmp_path)
    run.kill()
    run.communicate()
    assert psutil.wait_procs([child], timeout=60)[1] == []
    assert not list((tmp_path / "cache").rglob("export.json")), "it did not go on to the end"


@pytest.mark.fault(66)
def test_a_ctrl_c_before_the_work_begins_is_no_fault_of_ours(monkeypatch, capsys):
    def interrupted(words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("geoseg.cli.run._read_options", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--aoi", "15,45,16,46"])
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip().splitlines()[-1] == "interrupted; run the same command again to go on"


def test_a_reader_that_goes_away_is_no_fault_of_ours(monkeypatch, capsys):
    """`geoseg models list | head -1`"""
    for_head, for_us = os.pipe()
    os.close(for_head)
    with contextlib.suppress(BrokenPipeError), os.fdopen(for_us, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as ended:
            main(["models", "list"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == ""


def test_what_is_printed_to_a_full_disk_is_told_in_three_lines(monkeypatch, capsys):
    with Path("/dev/full").open("w", buffering=1) as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            main(["models", "list"])
    assert ended.value.code == 1
    given, expected, todo = capsys.readouterr().err.splitlines()
    assert "models list" in given
    assert "No space left" in expected
    assert "see to the disk" in todo


def test_a_run_does_not_end_because_nobody_listens(model, wide, tmp_path):
    """Its log lies on a full disk."""
    words = ["--scenes", str(wide), "--model", str(model), "--out", str(tmp_path / "map"), "--device", "cpu"]
    environment = {**os.environ, "GEOSEG_CACHE": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(Path(geoseg.__file__).parent.parent)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "geoseg", "run", *words]
        ended = subprocess.run(command, env=environment, stderr=full, stdout=subprocess.PIPE, check=False)
    assert ended.returncode == 0
    assert (tmp_path / "map" / "report.html").is_file()


def test_a_working_folder_that_was_removed_is_named(tmp_path, monkeypatch, capsys, model, wide):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit) as ended:
        main(["run", "--scenes", str(wide), "--model", str(model), "--out", "map"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("given:    the working folder, which has been removed")
