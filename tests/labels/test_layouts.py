"""Layouts of known data sets: mini-folders are written, read back, and held against torchgeo where it has the data set."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geoseg.errors import AssetReadError, GeosegError, RequestError
from geoseg.labels import IGNORE
from geoseg.labels.config import READERS, data_config
from tests.labels.made import everything, picture, write

LOVEDA = ["background", "building", "road", "water", "barren", "forest", "agriculture"]
ISPRS = {
    "impervious surface": (255, 255, 255), "building": (0, 0, 255), "low vegetation": (0, 255, 255),
    "tree": (0, 255, 0), "car": (255, 255, 0), "clutter": (255, 0, 0),
}  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def photo(seed, side=16, bands=3):
    return rng(seed).integers(0, 256, (side, side, bands)).astype(np.uint8)


def drawn(seed, values, side=16):
    return rng(seed).choice(np.array(values), (side, side)).astype(np.uint8)


def read(reader, folder, **fields):
    labels = data_config({"reader": reader, "path": str(folder), **fields}).read(folder)
    return labels, {member.name: member for member in labels.members}


def expected(values, order, ignored=()):
    """Class indices of values of labels."""
    table = np.full(256, IGNORE, np.uint8)
    for index, value in enumerate(order):
        table[value] = index
    assert not set(ignored) & set(order)
    return table[values]


def test_loveda(tmp_path):
    for number, (part, kind) in enumerate(
        (("Train", "Rural"), ("Train", "Urban"), ("Val", "Rural"), ("Test", "Rural"))
    ):
        picture(tmp_path / part / kind / "images_png" / f"{number}.png", photo(number))
        if part != "Test":
            picture(tmp_path / part / kind / "masks_png" / f"{number}.png", drawn(number, range(8)))
    labels, members = read("loveda", tmp_path)
    assert [c.name for c in labels.classes] == LOVEDA
    assert list(members) == ["train-rural/0", "train-urban/1", "val-rural/2"]
    assert labels.groups == ("train-rural", "train-urban", "val-rural")
    member = members["train-urban/1"]
    np.testing.assert_array_equal(member.labels(everything(member)), expected(drawn(1, range(8)), range(1, 8), [0]))
    assert (member.gsd_m, labels.licence) == (0.3, "CC-BY-NC-SA-4.0")
    assert list(read("loveda", tmp_path, parts=["train-*"])[1]) == ["train-rural/0", "train-urban/1"]
    merged = [{"name": "water", "values": 4}, {"name": "land", "values": [1, 2, 3, 5, 6, 7]}]
    _, two = read("loveda", tmp_path, classes=merged, ignore=0, gsd_m=0.6)
    truth = two["train-urban/1"].labels(everything(member))
    np.testing.assert_array_equal(
        truth, np.where(drawn(1, range(8)) == 4, 0, np.where(drawn(1, range(8)) == 0, IGNORE, 1))
    )
    assert two["train-urban/1"].gsd_m == 0.6
    datasets = pytest.importorskip("torchgeo.datasets")
    theirs = datasets.LoveDA(str(tmp_path), "train", ["urban"])
    sample = theirs[0]
    np.testing.assert_array_equal(sample["image"].numpy(), member.image(everything(member))[0])
    np.testing.assert_array_equal(expected(sample["mask"].numpy(), range(1, 8)), member.labels(everything(member)))
    assert list(theirs.classes[:7]) == LOVEDA


def test_landcoverai_whole_and_in_chips(tmp_path):
    for sheet in ("M-33-20", "N-34-61"):
        write(tmp_path / "images" / f"{sheet}.tif", np.moveaxis(photo(1), -1, 0), crs="EPSG:2180", pixel_m=0.25)
        write(tmp_path / "masks" / f"{sheet}.tif", drawn(1, range(5)), crs="EPSG:2180", pixel_m=0.25)
        for number in (0, 1):
            picture(tmp_path / "output" / f"{sheet}_{number}.jpg", photo(number))
            picture(tmp_path / "output" / f"{sheet}_{number}_m.png", drawn(number, range(5)))
    labels, members = read("landcoverai", tmp_path)
    assert labels.groups == ("M-33-20", "N-34-61")
    assert len(members) == 6
    assert members["M-33-20"].gsd_m == 0.25
    np.testing.assert_array_equal(members["M-33-20"].labels(everything(members["M-33-20"])), drawn(1, range(5)))
    datasets = pytest.importorskip("torchgeo.datasets")
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.txt").write_text("N-34-61_1\n")
    sample = datasets.LandCoverAI(str(tmp_path), "train")[0]
    chip = members["N-34-61_1"]
    np.testing.assert_array_equal(sample["mask"].numpy(), chip.labels(everything(chip)))
    assert [c.name for c in labels.classes] == [name.lower() for name in datasets.LandCoverAI.classes]


def test_isprs_potsdam_and_vaihingen(tmp_path):
    colours = np.array(list(ISPRS.values()), np.uint8)
    classes = drawn(3, range(6))
    painted = np.moveaxis(colours[classes], -1, 0)
    potsdam, vaihingen = tmp_path / "p", tmp_path / "v"
    write(potsdam / "4_Ortho_RGBIR" / "top_potsdam_2_10_RGBIR.tif", np.moveaxis(photo(1, bands=4), -1, 0), crs=None)
    write(potsdam / "top_potsdam_2_10_label.tif", painted, crs=None)
    write(vaihingen / "top" / "top_mosaic_09cm_area1.tif", np.moveaxis(photo(1), -1, 0), crs=None)
    write(vaihingen / "top" / "top_mosaic_09cm_area2.tif", np.moveaxis(photo(2), -1, 0), crs=None)
    write(vaihingen / "top_mosaic_09cm_area1.tif", painted, crs=None)
    datasets = pytest.importorskip("torchgeo.datasets")
    for reader, folder, bands, theirs in (
        ("potsdam", potsdam, ("red", "green", "blue", "nir"), datasets.Potsdam2D),
        ("vaihingen", vaihingen, ("nir", "red", "green"), datasets.Vaihingen2D),
    ):
        labels, members = read(reader, folder)
        ((_, member),) = members.items()
        assert member.bands == bands
        names = np.array([c.name for c in labels.classes])[member.labels(everything(member))]
        np.testing.assert_array_equal(names, np.array(list(ISPRS))[classes])
        sample = theirs(str(folder), "train", checksum=False)[0]
        np.testing.assert_array_equal(sample["image"].numpy(), member.image(everything(member))[0])
        assert member.image(everything(member))[1].all()  # GDAL takes the fourth of four bands for alpha; it is none
        other = np.array([name.lower().rstrip("s") for name in theirs.classes])[sample["mask"].numpy()]
        np.testing.assert_array_equal(np.char.replace(other, "clutter/background", "clutter"), names)


def test_flair_and_flair_hub(tmp_path):
    domain = tmp_path / "flair_aerial_train" / "D004_2021" / "Z1_NN"
    write(domain / "img" / "IMG_000001.tif", np.moveaxis(photo(1, bands=5), -1, 0), crs="EPSG:2154", pixel_m=0.2)
    write(domain / "img" / "IMG_000002.tif", np.moveaxis(photo(1, bands=5), -1, 0), crs="EPSG:2154", pixel_m=0.2)
    mask = tmp_path / "flair_labels_train" / "D004_2021" / "Z1_NN" / "msk" / "MSK_000001.tif"
    write(mask, drawn(1, range(1, 20)), crs="EPSG:2154", pixel_m=0.2)
    labels, members = read("flair", tmp_path)
    ((name, member),) = members.items()
    assert (name, member.group, member.bands[-1]) == ("D004_2021/000001", "D004_2021", "height")
    np.testing.assert_array_equal(
        member.labels(everything(member)), expected(drawn(1, range(1, 20)), range(1, 13), range(13, 20))
    )
    hub = tmp_path / "hub"
    for what, bands in (("AERIAL_RGBI", photo(1, bands=4)), ("AERIAL_LABEL-COSIA", drawn(2, range(19))[..., None])):
        path = hub / f"D004-2021_{what}" / "AA-S1-32" / f"D004-2021_{what}_AA-S1-32_0-0.tif"
        write(path, np.moveaxis(bands, -1, 0), crs="EPSG:2154", pixel_m=0.2)
    labels, members = read("flair-hub", hub)
    ((name, member),) = members.items()
    assert (name, member.group) == ("D004-2021_AA-S1-32_0-0", "D004-2021")
    np.testing.assert_array_equal(
        member.labels(everything(member)), expected(drawn(2, range(19)), range(15), range(15, 19))
    )
    tasks = pytest.importorskip("torchgeo.datasets.flair").TASKS["land_cover"]
    assert [c.name for c in labels.classes] == [name.replace("_", " ") for name in tasks["classes"][:15]]


def test_openearthmap(tmp_path):
    for number, region in enumerate(("aachen", "aachen", "tokyo"), start=1):
        write(tmp_path / region / "images" / f"{region}_{number}.tif", np.moveaxis(photo(number), -1, 0), pixel_m=0.3)
        write(tmp_path / region / "labels" / f"{region}_{number}.tif", drawn(number, range(9)), pixel_m=0.3)
    write(tmp_path / "tokyo" / "images" / "tokyo_9.tif", np.moveaxis(photo(9), -1, 0), pixel_m=0.3)
    labels, members = read("openearthmap", tmp_path)
    assert (labels.groups, list(members)) == (("aachen", "tokyo"), ["aachen_1", "aachen_2", "tokyo_3"])
    member = members["tokyo_3"]
    np.testing.assert_array_equal(member.labels(everything(member)), expected(drawn(3, range(9)), range(1, 9), [0]))
    (tmp_path / "train.txt").write_text("aachen_2.tif\n")
    assert list(read("openearthmap", tmp_path, list_file="train.txt")[1]) == ["aachen_2"]


def test_landslide4sense(tmp_path):
    h5py = pytest.importorskip("h5py")
    image = rng(1).normal(1, 0.2, (24, 32, 14))
    image[3, 4, 5] = np.nan
    mask = drawn(1, (0, 1), 32)[:24]
    for folder, name, key, values in (
        ("TrainData/img", "image_7", "img", image), ("TrainData/mask", "mask_7", "mask", mask),
        ("images/train", "image_108", "img", image), ("annotations/train", "mask_108", "mask", mask),
        ("TestData/img", "image_1", "img", image),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        with h5py.File(tmp_path / folder / f"{name}.h5", "w") as file:
            file[key] = values
    labels, members = read("landslide4sense", tmp_path)
    assert set(labels.groups) == {"train-01", "TrainData-00"}
    member = members["TrainData-7"]
    assert (member.shape, member.bands[12:], member.gsd_m, member.crs) == ((24, 32), ("slope", "height"), 10, None)
    pixels, valid = member.image(everything(member))
    np.testing.assert_array_equal(pixels, np.moveaxis(image, -1, 0))
    assert (~valid).sum() == 1
    assert not valid[3, 4]
    np.testing.assert_array_equal(member.labels(everything(member)), mask)
    (tmp_path / "TrainData/img/image_7.h5").write_bytes(b"no HDF5")
    with pytest.raises(AssetReadError):
        member.image(everything(member))


def test_landslidebench_keeps_the_zooms_of_a_place_together(tmp_path):
    names = ["rockfall12_Level_16", "rockfall12_Level_17", "non3_Level_16"]
    for number, name in enumerate(names):
        picture(tmp_path / "images" / f"{name}.png", photo(number))
        picture(tmp_path / "mask" / f"{name}.png", drawn(number, (0, 255)))
    _, members = read("landslidebench", tmp_path)
    assert {name: member.group for name, member in members.items()} == {
        "rockfall12_Level_16": "rockfall12", "rockfall12_Level_17": "rockfall12", "non3_Level_16": "non3",
    }  # fmt: skip
    member = members[names[1]]
    np.testing.assert_array_equal(member.labels(everything(member)), drawn(1, (0, 255)) // 255)
    lines = [
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "image": f"images/{name}.png"}, {"type": "text"}]}
            ]
        }
        for name in (names[0], names[0], names[2])
    ]
    (tmp_path / "qwen3vl_landslide_train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert sorted(read("landslidebench", tmp_path)[1]) == [names[2], names[0]]
    (tmp_path / "qwen3vl_landslide_train.jsonl").write_text('{"messages": 1}')
    with pytest.raises(RequestError, match="line 1"):
        read("landslidebench", tmp_path)


def test_cas_and_bijie(tmp_path):
    for subset, side in (("Moxi (UAV)", 16), ("Wenchuan", 20)):
        write(tmp_path / "cas" / subset / "img" / "a1.tif", np.moveaxis(photo(1, side), -1, 0), crs=None)
        write(tmp_path / "cas" / subset / "mask" / "a1.tif", drawn(1, (0, 1), side), crs=None)
    labels, members = read("cas-landslide", tmp_path / "cas")
    assert labels.groups == ("Moxi (UAV)", "Wenchuan")
    member = members["Moxi (UAV)/a1"]
    np.testing.assert_array_equal(member.labels(everything(member)), drawn(1, (0, 1)))
    bijie = tmp_path / "bijie"
    for name in ("df001", "qxg002"):
        picture(bijie / "landslide" / "image" / f"{name}.png", photo(1))
        picture(bijie / "landslide" / "mask" / f"{name}.png", drawn(1, (0, 255)))
    picture(bijie / "non-landslide" / "image" / "df001.png", photo(4))
    labels, members = read("bijie", bijie)
    assert labels.groups == ("df", "non-landslide-df", "qxg")
    bare = members["non-landslide/df001"]
    assert (bare.labels(everything(bare)) == 0).all()
    np.testing.assert_array_equal(members["df001"].labels(everything(members["df001"])), drawn(1, (0, 1)))


def test_coco(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    runs = drawn(5, (0, 1), 20)
    packed = mask.encode(np.asfortranarray(runs))
    flat = runs.flatten(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flat)))).tolist()
    counts = np.diff([0, *edges, 400]).tolist()
    outline = [[2, 3, 8, 3, 8, 9, 2, 9], [12, 12, 15, 12, 15, 14, 12, 14]]
    document = {
        "images": [{"id": number, "file_name": f"in/{name}.png", "height": 20, "width": 20} for number, name in enumerate("abcd")],
        "categories": [{"id": 4, "name": "roof"}, {"id": 9, "name": "Haus"}, {"id": 10, "name": "sky"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 4, "segmentation": outline, "bbox": [2, 3, 6, 6]},
            {"id": 2, "image_id": 1, "category_id": 9, "segmentation": {"size": [20, 20], "counts": packed["counts"].decode()}},
            {"id": 3, "image_id": 2, "category_id": 9, "segmentation": {"size": [20, 20], "counts": counts}, "iscrowd": 1},
            {"id": 4, "image_id": 3, "category_id": 4, "bbox": [1, 2, 3, 4]},
        ],
    }  # fmt: skip
    for name in "abcd":
        picture(tmp_path / "images" / f"{name}.png", photo(1, 20))
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    fields = {
        "classes": ["ground", "roof", "house"],
        "rename": {"Haus": "house", "sky": "ignore"},
        "elsewhere": "ground",
    }
    _, members = read("coco", tmp_path, **fields, boxes=True)
    got = {name: member.labels(everything(member)) for name, member in members.items()}
    a = np.zeros((20, 20))
    a[3:9, 2:8] = a[12:14, 12:15] = 1
    d = np.zeros((20, 20))
    d[2:6, 1:4] = 1
    for name, truth in (("a", a), ("b", runs * 2), ("c", runs * IGNORE), ("d", d)):
        np.testing.assert_array_equal(got[name], truth)
    for wrong, words in (
        ({"rename": {}}, "with the categories Haus, sky"),
        ({"labels": "none.json"}, "expected: at least one file"),
        ({"elsewhere": "sea"}, "given:    the class sea"),
    ):
        with pytest.raises(RequestError) as refusal:
            read("coco", tmp_path, **(fields | wrong))
        assert words in str(refusal.value)
    member = read("coco", tmp_path, **fields)[1]["d"]
    with pytest.raises(RequestError, match="without an outline"):
        member.labels(everything(member))


@pytest.mark.parametrize("reader", [name for name, place in READERS.items() if ".layouts." in place])
def test_a_folder_of_another_kind_is_refused_with_the_layout(tmp_path, reader):
    picture(tmp_path / "photos" / "a.png", photo(1))
    with pytest.raises(RequestError) as refusal:
        read(reader, tmp_path)
    assert f"not laid out as {reader}" in str(refusal.value)
    assert len(refusal.value.expected) > 20


def test_missing_and_odd_masks_are_all_named(tmp_path):
    for number in range(4):
        picture(tmp_path / "Train" / "Rural" / "images_png" / f"{number}.png", photo(number))
        if number < 2:
            picture(tmp_path / "Train" / "Rural" / "masks_png" / f"{number}.png", drawn(number, range(8), 16 + number))
    with pytest.raises(GeosegError) as refusal:
        read("loveda", tmp_path)
    assert "1.png: labels of 17 x 17 pixels" in refusal.value.given
    assert "2 more" in refusal.value.given
    assert "3.png" in refusal.value.given
