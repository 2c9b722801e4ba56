"""Labels of what changed between two dates: folders of pairs, known layouts, and generated pairs."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels import IGNORE
from geoseg.labels.config import data_config, read_data
from tests.labels.made import everything, picture, write

SIDE = 16


def photo(seed, bands=3):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, bands)).astype(np.uint8)


def drawn(seed, values):
    return np.random.default_rng(seed).choice(np.array(values), (SIDE, SIDE)).astype(np.uint8)


def read(reader, folder, **fields):
    labels = data_config({"reader": reader, "path": str(folder), **fields}).read(folder)
    return labels, {member.name: member for member in labels.members}


def write_pairs(folder, names=("a", "b"), folders=("A", "B", "label"), suffix="png"):
    for number, name in enumerate(names):
        for at, inside in enumerate(folders[:2]):
            picture(folder / inside / f"{name}.{suffix}", photo(10 * number + at))
        picture(folder / folders[2] / f"{name}.{suffix}", drawn(number, (0, 255)))


def test_pairs_come_with_both_dates_and_their_change(tmp_path):
    write_pairs(tmp_path)
    labels, members = read("pairs", tmp_path)
    assert labels.dates == 2
    assert [entry.name for entry in labels.classes] == ["no change", "change"]
    member = members["b"]
    pixels, valid = member.image(everything(member))
    np.testing.assert_array_equal(pixels[:3], photo(10).transpose(2, 0, 1))
    np.testing.assert_array_equal(pixels[3:], photo(11).transpose(2, 0, 1))
    assert valid.all()
    np.testing.assert_array_equal(member.labels(everything(member)), drawn(1, (0, 255)) // 255)
    assert member.bands == ("red", "green", "blue")


def test_a_pixel_is_believed_where_both_dates_are(tmp_path):
    holes = np.ones((2, SIDE, SIDE), np.uint8) * 9
    holes[0, 2, 3] = holes[1, 5, 6] = 0
    for inside, image in zip(("A", "B"), holes, strict=True):
        write(tmp_path / inside / "x.tif", np.stack([image] * 3), nodata=0)
    write(tmp_path / "label" / "x.tif", np.ones((SIDE, SIDE), np.uint8))
    _, members = read("pairs", tmp_path)
    _, valid = members["x"].image(Window(0, 0, SIDE, SIDE))
    assert sorted(map(tuple, np.argwhere(~valid))) == [(2, 3), (5, 6)]


def test_pairs_can_be_cut_into_blocks_and_have_own_classes(tmp_path):
    write_pairs(tmp_path, folders=("before", "after", "truth"))
    labels, members = read(
        "pairs", tmp_path, images="before/*", after="after/*", labels="truth/*", blocks=[2, 2],
        classes=[{"name": "none", "values": 0}, {"name": "new building", "values": 255}],
    )  # fmt: skip
    assert len(members) == 8
    assert labels.classes[1].name == "new building"
    part = members["a/1-1"]
    np.testing.assert_array_equal(part.image(everything(part))[0][3:], photo(1).transpose(2, 0, 1)[:, 8:, 8:])


@pytest.mark.parametrize(("gone", "said"), [("B/b.png", "later image"), ("label/b.png", "labels")])
def test_what_is_missing_is_said(tmp_path, gone, said):
    write_pairs(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(RequestError, match=said):
        read("pairs", tmp_path)


def test_dates_of_other_pixels_are_refused(tmp_path):
    write_pairs(tmp_path)
    picture(tmp_path / "B" / "a.png", photo(0)[:8])
    with pytest.raises(RequestError, match="8 x 16"):
        read("pairs", tmp_path)
    picture(tmp_path / "B" / "a.png", photo(0)[..., 0])
    with pytest.raises(RequestError, match="bands"):
        read("pairs", tmp_path)


@pytest.mark.parametrize("reader", ["levir-cd", "whu-cd"])
def test_levir_and_whu(tmp_path, reader):
    for part in ("train", "test"):
        write_pairs(tmp_path / part, names=("1", "2"))
    labels, members = read(reader, tmp_path)
    assert list(members) == ["test/1", "test/2", "train/1", "train/2"]
    assert labels.groups == ("test", "train")
    assert labels.dates == 2
    member = members["train/2"]
    np.testing.assert_array_equal(member.image(everything(member))[0][3:], photo(11).transpose(2, 0, 1))
    np.testing.assert_array_equal(member.labels(everything(member)), drawn(1, (0, 255)) // 255)


def test_levir_without_parts(tmp_path):
    write_pairs(tmp_path)
    labels, members = read("levir-cd", tmp_path)
    assert list(members) == ["a", "b"]
    assert labels.groups == ("a", "b")


def test_levir_of_torchgeo_reads_the_same(tmp_path):
    from torchgeo.datasets import LEVIRCD

    write_pairs(tmp_path, names=("train_1", "train_2", "val_1"))
    labels, members = read("levir-cd", tmp_path)
    assert labels.groups == ("train", "val")

    class Mine(LEVIRCD):
        def _check_integrity(self):
            return True

    theirs = Mine(str(tmp_path), split="train")
    found = {tuple(sample["mask"].numpy().ravel().tolist()): sample["image"].numpy() for sample in theirs}
    mine = [members[f"train_{number}"] for number in (1, 2)]
    assert len(theirs) == len(mine)
    for member in mine:
        image = found[tuple(member.labels(everything(member)).ravel().tolist())]
        np.testing.assert_array_equal(member.image(everything(member))[0], image.reshape(6, SIDE, SIDE))


def test_second_has_change_where_it_is_not_white(tmp_path):
    colours = np.array([(255, 255, 255), (0, 128, 0), (128, 0, 0)], np.uint8)
    kinds = drawn(5, (0, 1, 2))
    for at, inside in enumerate(("im1", "im2")):
        picture(tmp_path / "train" / inside / "7.png", photo(at))
    picture(tmp_path / "train" / "label1" / "7.png", colours[kinds])
    _, members = read("second", tmp_path)
    member = members["train/7"]
    np.testing.assert_array_equal(member.labels(everything(member)), (kinds > 0).astype(np.uint8))


def test_oscd_reads_a_file_for_each_band(tmp_path):
    images, bands = tmp_path / "Onera Satellite - Images", ("B02", "B8A")
    for number in (1, 2):
        for at, band in enumerate(bands):
            pixels = np.full((SIDE, SIDE), 100 * number + at, np.uint16)
            write(images / "rome" / f"imgs_{number}_rect" / f"S2A_{band}.tif", pixels, crs=None)
    cm = tmp_path / "Onera Satellite - Train Labels" / "rome" / "cm" / "cm.png"
    picture(cm, drawn(1, (0, 255)))
    labels, members = read("oscd", tmp_path, bands=["B8A", "B02"])
    pixels, _ = members["rome"].image(Window(0, 0, 1, 1))
    assert pixels[:, 0, 0].tolist() == [101, 100, 201, 200]
    assert labels.bands == ("B8A", "B02")
    with pytest.raises(RequestError, match="B03"):
        read("oscd", tmp_path)


def test_generated_pairs_hold_what_they_say(tmp_path):
    block = {"reader": "generated-pairs", "seeds": [5, 6], "shape": [128, 128], "bands": ["B04", "B08"],
             "changed": 1, "same": 1, "held_out": {"groups": ["seed-6"]}}  # fmt: skip
    kept, held = read_data(block, tmp_path)
    assert held is not None
    assert (kept.dates, held.groups) == (2, ("seed-6",))
    changed, same = kept.members
    pixels, valid = changed.image(everything(changed))
    assert (pixels.shape, pixels.dtype, valid.all()) == ((4, 128, 128), np.uint16, True)
    truth = changed.labels(everything(changed))
    assert 0 < (truth == 1).mean() < 0.3
    assert not (truth == IGNORE).any()
    assert not same.labels(everything(same)).any()
    part = Window(10, 20, 50, 70)
    np.testing.assert_array_equal(changed.image(part)[0], pixels[:, 10:50, 20:70])
    np.testing.assert_array_equal(changed.labels(part), truth[10:50, 20:70])


def test_pairs_and_single_images_are_not_one_set(tmp_path):
    write_pairs(tmp_path)
    picture(tmp_path / "images" / "a.png", photo(0))
    picture(tmp_path / "labels" / "a.png", drawn(0, (0, 255)))
    classes = [{"name": "no change", "values": 0}, {"name": "change", "values": [1, 255]}]
    blocks = [{"reader": "pairs", "path": "."}, {"reader": "rasters", "path": ".", "classes": classes}]
    with pytest.raises(RequestError, match="dates"):
        read_data(blocks, tmp_path)
