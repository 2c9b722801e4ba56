"""``geoseg plan`` reads headers: blocks that nobody could decode change nothing of what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds

import geoseg.inputs
from geoseg.cli import main


def spoil(path: Path) -> None:
    """Every block of a raster overwritten, its header left as it is."""
    with rasterio.open(path) as file:
        places = [
            (int(file.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)),
             int(file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)))
            for (row, col), _ in file.block_windows(1)
        ]  # fmt: skip
    content = bytearray(path.read_bytes())
    for start, size in places:
        content[start : start + size] = b"\xc6" * size
    path.write_bytes(content)


def ends(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    return int(str(ended.value.code or 0))


def test_a_plan_on_rasters_whose_blocks_are_all_spoilt_is_the_plan(tmp_path, capfd, monkeypatch):
    model = worlds.finite_model(tmp_path / "model")
    path = worlds.write_raster(
        tmp_path / "a.tif", worlds.landscape((100, 130), 3).astype("uint8"), names=worlds.BANDS, interleave="pixel"
    )
    request = ["--scenes", str(path), "--model", str(model.path), "--out", str(tmp_path / "map"), "--device", "cpu"]
    assert ends("plan", *request, "--json") == 0
    clean = json.loads(capfd.readouterr().out)
    spoil(path)
    for look in ("check_inputs", "filler_warnings", "with_verified_files"):
        monkeypatch.setattr(geoseg.inputs, look, lambda *_, **__: pytest.fail("a plan looks at no pixel"))
    assert ends("plan", *request, "--json") == 0
    assert json.loads(capfd.readouterr().out) == clean
    assert not (tmp_path / "map").exists()
    monkeypatch.undo()
    assert ends("run", *request, "--quiet") == 4, "there was nothing that could be read"
    assert (worlds.read(tmp_path / "map" / "classes.tif") == 254).all()


def test_the_help_says_what_a_plan_reads(capfd):
    assert ends("plan", "--help") == 0
    words = " ".join(capfd.readouterr().out.split())
    assert "no pixels" in words
    assert "headers" in words
    assert np.char.find(words, "catalogue") > 0
