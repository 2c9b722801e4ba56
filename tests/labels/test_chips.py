"""Chips with masks: what is read, how it is grouped and split, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.transform import from_origin

from geoseg.errors import AssetReadError, RequestError
from geoseg.grid import Window
from geoseg.labels import IGNORE, ClassName, LabelSet
from geoseg.labels.base import joined, natural
from geoseg.labels.chips import ChipsConfig
from geoseg.labels.config import data_config, read_data

CLASSES = ["background", "scar"]


@pytest.fixture
def chips(tmp_path):
    """Six PNG chips of 24 x 32 pixels with masks of 0 and 1, and what they hold."""
    rng = np.random.default_rng(0)
    held = {}
    for number in (1, 2, 3, 9, 10, 11):
        image = rng.integers(0, 256, (24, 32, 3), np.uint8)
        mask = rng.integers(0, 2, (24, 32)).astype(np.uint8)
        for folder, pixels in (("images", image), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"chip_{number}.png")
        held[f"chip_{number}"] = image, mask
    return tmp_path, held


def block(**fields):
    return {"reader": "chips", "classes": CLASSES, **fields}


def whole(member):
    return Window(0, 0, *member.shape)


def test_windows_are_those_of_the_files(chips):
    folder, held = chips
    labels = data_config(block()).read(folder)
    assert [member.name for member in labels.members] == [f"chip_{n}" for n in (1, 2, 3, 9, 10, 11)]
    for member in labels.members:
        image, mask = held[member.name]
        assert (member.shape, member.bands, member.crs) == ((24, 32), ("red", "green", "blue"), None)
        for window in (whole(member), Window(3, 5, 20, 9)):
            pixels, valid = member.image(window)
            part = np.s_[window.row0 : window.row1, window.col0 : window.col1]
            np.testing.assert_array_equal(pixels, np.moveaxis(image[part], -1, 0))
            np.testing.assert_array_equal(member.labels(window), mask[part])
            assert valid.all()
            assert pixels.dtype == np.uint8


def test_values_are_mapped_and_ignored(chips):
    folder, held = chips
    classes = [{"name": "a", "values": 1}, {"name": "b", "values": [7, 9]}]
    labels = data_config(block(classes=classes, ignore=0)).read(folder)
    for member in labels.members:
        np.testing.assert_array_equal(member.labels(whole(member)), np.where(held[member.name][1] == 1, 0, IGNORE))


def test_a_value_without_meaning_is_refused(chips):
    folder, _ = chips
    labels = data_config(block(classes=[{"name": "a", "values": 0}, {"name": "b", "values": 2}])).read(folder)
    with pytest.raises(RequestError, match=r"the label value 1 in .*chip_1\.png"):
        labels.members[0].labels(whole(labels.members[0]))


@pytest.mark.parametrize("palette", [False, True])
def test_masks_may_be_painted(tmp_path, palette):
    colours = np.array([(255, 0, 255), (0, 0, 0), (255, 255, 0)], np.uint8)
    drawn = np.random.default_rng(1).integers(0, 3, (8, 8))
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    picture = Image.fromarray(colours[drawn])
    (picture.quantize(8) if palette else picture).save(tmp_path / "masks" / "a.png")
    classes = [{"name": "ground", "values": "#000000"}, {"name": "scar", "values": "#FF00FF"}]
    (member,) = data_config(block(classes=classes, ignore=["#ffff00"])).read(tmp_path).members
    np.testing.assert_array_equal(member.labels(whole(member)), np.array([1, 0, IGNORE], np.uint8)[drawn])


def test_places_and_nodata_come_from_the_file(tmp_path):
    pixels = np.arange(2 * 8 * 8, dtype=np.uint16).reshape(2, 8, 8)
    facts = {"driver": "GTiff", "width": 8, "height": 8, "crs": "EPSG:32633", "transform": from_origin(0, 80, 10, 10)}
    for folder, count, values in (("images", 2, pixels), ("masks", 1, pixels[:1] % 2)):
        (tmp_path / folder).mkdir()
        with rasterio.open(
            tmp_path / folder / "t.tif", "w", count=count, dtype="uint16", nodata=0 if count > 1 else None, **facts
        ) as out:
            out.write(values)
    (member,) = data_config(block(bands=["B04", "B08"])).read(tmp_path).members
    assert (member.gsd_m, member.crs.to_epsg(), member.transform) == (10, 32633, from_origin(0, 80, 10, 10))
    assert not member.image(whole(member))[1][0, 0]
    assert member.image(whole(member))[1].sum() == 63


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"reader": "chip"}, "given:    data.reader chip\nexpected: chips"),
        ({"gsd": 1}, "given:    the field data.gsd\nexpected: gsd_m (the nearest name)"),
        ({"gsd_m": -1}, "given:    data.gsd_m: -1\nexpected: a number above 0"),
        ({"held_out": {"fold": 4, "of": 4}}, "expected: a fold below 4"),
        ({"held_out": {"folds": 4}}, "given:    the field data.held_out.folds"),
        ({"groups": {"pattern": "chip"}}, "expected: a regular expression with a bracket"),
        ({"classes": [{"name": "a", "values": ["#12"]}, "b"]}, "'#12' is no colour"),
        ({"ignore": 1}, "expected: the label value 1 once"),
        ({"path": "nowhere"}, "expected: at least one file"),
        ({"bands": ["a", "b", "c", "d"]}, "expected: at most the 3 that it has"),
        ({"groups": {"pattern": "(1)"}}, "given:    the image chip_2 without a group"),
        ({"classes": []}, "expected: the legend"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(chips, fields, words):
    with pytest.raises(RequestError) as refusal:
        data_config(block(**fields)).read(chips[0])
    assert words in str(refusal.value)


def test_pairs_must_be_whole(chips):
    folder, _ = chips
    (folder / "masks" / "chip_9.png").unlink()
    with pytest.raises(RequestError, match="without mask"):
        data_config(block()).read(folder)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "masks" / "chip_9.png")
    with pytest.raises(RequestError, match="3 x 3 pixels"):
        data_config(block()).read(folder)
    (folder / "masks" / "chip_9.png").write_bytes(b"no picture")
    with pytest.raises(AssetReadError):
        data_config(block()).read(folder)


def test_groups_by_pattern_table_and_runs(chips):
    folder, _ = chips
    (folder / "groups.csv").write_text(
        "name,group\n" + "".join(f"chip_{n},{'ab'[n > 5]}\n" for n in (1, 2, 3, 9, 10, 11))
    )

    def groups(**ways):
        return [m.group for m in data_config(block(groups=ways)).read(folder).members]

    assert groups(table="groups.csv") == list("aaabbb")
    assert groups(runs=3) == ["run-1", "run-1", "run-2", "run-2", "run-3", "run-3"]
    assert groups(pattern="_(.)") == ["1", "2", "3", "9", "1", "1"]
    assert groups() == [f"chip_{n}" for n in (1, 2, 3, 9, 10, 11)]


def test_held_out_groups_are_not_trained_on(chips):
    folder, _ = chips
    kept, held = read_data(block(held_out={"fold": 1, "of": 3}), folder)
    assert [m.name for m in held.members] == ["chip_3", "chip_9"]
    assert not {m.name for m in kept.members} & {m.name for m in held.members}
    assert len(kept.members) == 4
    assert read_data(block(), folder)[1] is None
    with pytest.raises(RequestError, match="all 6 groups held out"):
        read_data(block(held_out={"groups": list(kept.groups + held.groups)}), folder)


def test_blocks_of_a_list_join_when_they_agree(chips):
    folder, _ = chips
    (folder / "more").mkdir()
    for name in ("images", "masks"):
        (folder / name).rename(folder / "more" / name)
        (folder / name).mkdir()
        Image.open(folder / "more" / name / "chip_1.png").save(folder / name / "other.png")
    blocks = [block(licence="CC-BY-4.0"), block(path="more", licence="MIT")]
    kept, _ = read_data(blocks, folder)
    assert len(kept.members) == 7
    assert kept.licence == "CC-BY-4.0; MIT"
    with pytest.raises(RequestError, match="scale"):
        read_data([*blocks, block(path="more", scale=0.1)], folder)
    with pytest.raises(RequestError, match=r"data\.1\.gsd"):
        read_data([block(), block(gsd=1)], folder)


class Member:
    """A member of no pixels."""

    bands = ("b",)

    def __init__(self, name, group):
        self.name, self.group = name, group


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.data())
def test_folds_are_runs_that_hold_each_group_once(sizes, data):
    members = tuple(Member(f"{g}-{n}", f"g{g}") for g, size in enumerate(sizes) for n in range(size))
    labels = LabelSet((ClassName("a"), ClassName("b")), members)
    folds = labels.folds(data.draw(st.integers(2, len(sizes))))
    assert [group for fold in folds for group in fold] == sorted(labels.groups, key=natural)
    assert all(folds)
    with pytest.raises(RequestError):
        labels.folds(len(sizes) + 1)


def test_members_of_one_name_or_other_bands_are_refused():
    pair = ClassName("a"), ClassName("b")
    with pytest.raises(RequestError, match="two images x"):
        LabelSet(pair, (Member("x", "g"), Member("x", "g")))
    other = Member("y", "g")
    other.bands = ("c",)
    with pytest.raises(RequestError, match="y with the bands c"):
        LabelSet(pair, (Member("x", "g"), other))
    with pytest.raises(RequestError, match="classes"):
        joined([LabelSet(pair, (Member("x", "g"),)), LabelSet(pair[::-1], (Member("y", "g"),))])


def test_real_chips(shared):
    config = ChipsConfig(path=shared / "data" / "landslide-sichuan", classes=CLASSES)
    labels = config.read(shared)
    assert len(labels.members) == 24
    assert {tuple(np.unique(m.labels(Window(0, 0, 64, 1024)))) for m in labels.members} <= {(0,), (0, 1), (1,)}
    assert [len(fold) for fold in labels.folds(4)] == [6, 6, 6, 6]
