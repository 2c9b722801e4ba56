"""What `geoseg data check` finds, and that it finds nothing in sound data."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from geoseg.cli import main
from geoseg.labels.check import check
from geoseg.labels.config import read_data
from geoseg.labels.likeness import Looker, copies
from tests.labels.made import picture, scenery, write


def chips(folder, count=6, side=96, seed=0):
    """Sound chips, six of them, in groups of two by their numbers."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        picture(folder / "images" / f"c_{number}.png", scenery(seed + number, side))
        picture(folder / "masks" / f"c_{number}.png", rng.integers(0, 2, (side, side)))
    return {"reader": "chips", "classes": ["a", "b"], "groups": {"runs": 3}, "gsd_m": 1.0, "path": str(folder)}


def found(document, folder):
    report = check(*read_data(document, folder))
    return {finding.code: finding for finding in report.findings}, report


def test_sound_data_have_no_findings(tmp_path):
    findings, report = found(chips(tmp_path), tmp_path)
    assert findings == {}
    assert not report.is_wrong
    assert report.counts.sum() == 6 * 96 * 96
    assert {name: images for name, (images, _) in report.groups().items()} == {"run-1": 2, "run-2": 2, "run-3": 2}


@pytest.mark.parametrize("turn", range(8))
@pytest.mark.parametrize("how", ["same", "jpeg", "smaller", "brighter"])
def test_a_copy_is_found_however_it_is_turned_and_kept(turn, how):
    image = scenery(1, 128)
    other = np.rot90(image, turn % 4)[:, :: -1 if turn >= 4 else 1]
    if how == "jpeg":
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(other)).save(file, "JPEG", quality=30)
        other = np.asarray(Image.open(file))
    if how == "smaller":
        other = np.asarray(Image.fromarray(np.ascontiguousarray(other)).resize((72, 72), Image.Resampling.BILINEAR))
    if how == "brighter":
        other = (255 * (other / 255) ** 0.7).astype(np.uint8)
    pictures = [image, *(scenery(seed, 128) for seed in range(2, 8)), other]
    looked = []
    for pixels in pictures:
        looker = Looker(pixels.shape[:2])
        for rows in np.array_split(np.moveaxis(pixels, -1, 0), 3, axis=1):
            looker.look(rows, np.ones(rows.shape[1:], dtype=bool))
        looked.append(looker.seen())
    assert [(one, two) for one, two, _ in copies(looked)] == [(0, 7)]


def test_copies_across_groups_are_wrong_and_within_a_group_told(tmp_path):
    document = chips(tmp_path)
    picture(tmp_path / "images" / "c_1.png", scenery(0))  # that of c_0, in its group
    picture(tmp_path / "images" / "c_5.png", np.rot90(scenery(2)))  # that of c_2, in another group
    findings, report = found(document, tmp_path)
    assert findings.keys() == {"copies", "copies-in-group"}
    assert findings["copies"].images == ("c_2", "c_5")
    assert "turned by 270°" in findings["copies"].words
    assert report.is_wrong
    held = {**document, "held_out": {"groups": ["run-1"]}}  # 2 and 3 are both trained on
    assert not found(held, tmp_path)[1].is_wrong


def test_values_without_a_class_are_counted(tmp_path):
    document = chips(tmp_path)
    mask = np.zeros((96, 96))
    mask[:2], mask[5, 5] = 7, 9
    picture(tmp_path / "masks" / "c_3.png", mask)
    findings, _ = found(document, tmp_path)
    assert findings.keys() == {"undeclared-labels"}
    assert "7 (192 px), 9 (1 px)" in findings["undeclared-labels"].words


def test_types_nodata_and_empty_images(tmp_path):
    rng = np.random.default_rng(0)
    for number, top in enumerate((4000, 4000, 255)):
        image = rng.integers(1, top, (2, 64, 64)).astype(np.uint16)
        image[:, :8] = 0
        write(tmp_path / "images" / f"{number}.tif", image, nodata=0, transform=None)
        write(tmp_path / "labels" / f"{number}.tif", np.full((64, 64), 5 if number == 1 else number % 2, np.uint8))
    document = {
        "reader": "rasters", "path": str(tmp_path), "classes": [{"name": "a", "values": 0}, {"name": "b", "values": 1}],
        "ignore": 5, "groups": {"pattern": "^(.)"},
    }  # fmt: skip
    findings, report = found(document, tmp_path)
    assert {"bytes-among-words", "one-class", "overlap", "labels-on-nodata", "unlabelled"} <= findings.keys()
    assert findings["bytes-among-words"].images == ("2",)
    assert findings["overlap"].images == ("0", "1", "2")
    assert findings["labels-on-nodata"].words.startswith("1,024 labelled pixels")
    assert report.to_json()["nodata_px"] == 3 * 8 * 64
    write(tmp_path / "images" / "1.tif", np.ones((2, 64, 64), np.uint8))
    findings, _ = found(document, tmp_path)
    assert findings["mixed-types"].images == ("1",)
    assert {"constant"} <= findings.keys()


def test_images_that_touch_do_not_overlap_and_sizes_are_told(tmp_path):
    from rasterio.transform import from_origin

    places = {
        "w": ("EPSG:32633", from_origin(500_000, 5_000_000, 10, 10)),
        "e": ("EPSG:32633", from_origin(500_640, 5_000_000, 10, 10)),
        "far": ("EPSG:32634", from_origin(500_000, 5_000_000, 30, 30)),
    }
    rng = np.random.default_rng(0)
    for name, (crs, transform) in places.items():
        write(
            tmp_path / "images" / f"{name}.tif",
            rng.integers(0, 9, (64, 64)).astype(np.uint8),
            crs=crs,
            transform=transform,
        )
        write(
            tmp_path / "labels" / f"{name}.tif",
            rng.integers(0, 2, (64, 64)).astype(np.uint8),
            crs=crs,
            transform=transform,
        )
    document = {"reader": "rasters", "path": str(tmp_path), "classes": ["a", "b"]}
    findings, report = found(document, tmp_path)
    assert findings.keys() == {"mixed-crs", "mixed-resolution", "groups-of-one"}
    assert not report.is_wrong
    crs, transform = places["w"]  # another date of the same place
    for folder, most in (("images", 9), ("labels", 2)):
        values = rng.integers(0, most, (64, 64)).astype(np.uint8)
        write(tmp_path / folder / "w2.tif", values, crs=crs, transform=transform)
    assert "overlap" in found(document, tmp_path)[0]
    assert "overlap" not in found({**document, "groups": {"pattern": "^(e|w|far)"}}, tmp_path)[0]


def test_the_command_prints_a_table_or_json_and_its_status_says_whether_it_is_wrong(tmp_path, capsys):
    document = chips(tmp_path / "data") | {"path": "data", "title": "Chips"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"data": document}))
    config = str(tmp_path / "c.yaml")

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main(["data", "check", config, "--quiet", *words])
        return end.value.code, capsys.readouterr()

    status, said = run()
    assert status == 0
    assert "6 images in 3 groups" in said.out
    assert said.out.endswith("0 wrong, 0 to note\n")
    picture(tmp_path / "data" / "images" / "c_5.png", scenery(0))
    status, said = run("--json")
    assert status == 2
    report = json.loads(said.out)
    assert [finding["code"] for finding in report["findings"]] == ["copies"]
    assert sum(report["classes"].values()) == 6 * 96 * 96
    picture(tmp_path / "data" / "masks" / "c_5.png", np.zeros((95, 96)))
    picture(tmp_path / "data" / "masks" / "c_4.png", np.zeros((90, 96)))
    status, said = run()
    assert status == 2
    assert said.err.count("\n") == 3
    assert "c_4.png of 90 x 96 pixels; 1 more:" in said.err
    (tmp_path / "c.yaml").write_text("name: x\n")
    assert run()[0] == 2
