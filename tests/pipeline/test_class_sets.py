"""Class sets of a map: by the thresholds of the model's item, and as often right as they promise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds
from numpy.typing import NDArray

import geoseg
from geoseg.errors import ModelMismatchError, ModelSpecError, RequestError
from geoseg.evaluation.calibrate import store_class_sets
from geoseg.evaluation.calibration import fit_class_sets
from geoseg.evaluation.class_sets import ClassSetFacts
from geoseg.models import ModelFolder
from geoseg.models.folder import read_item, write_item
from geoseg.models.network import load_network

SIDE, ROWS, COLS, MISS = 32, 6, 10, 0.2
# A corner that is one of the network's cells: a pass over the whole image then sees what a run sees.
ORIGIN = 500_480.0, 4_999_680.0


@dataclass(frozen=True, eq=False)
class Labelled:
    """A raster of many small scenes, each in light of its own, with labels that a network only half knows.

    Attributes:
        path: The raster.
        scores: (class, y, x), what the network says.
        truth: (y, x), drawn by those scores, sharper in some scenes and flatter in others.
    """

    path: Path
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]

    def of_scenes(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each scene."""
        return [
            (slice(row * SIDE, (row + 1) * SIDE), slice(col * SIDE, (col + 1) * SIDE))
            for row in range(ROWS)
            for col in range(COLS)
        ]


def labelled(folder: Path, model: ModelFolder, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    scenes = [worlds.landscape((SIDE, SIDE), 3, 100 * seed + number) for number in range(ROWS * COLS)]
    image = np.concatenate([np.concatenate(scenes[at * COLS : (at + 1) * COLS], axis=2) for at in range(ROWS)], axis=1)
    light = np.kron(rng.uniform(0.7, 1.2, (ROWS, COLS)), np.ones((SIDE, SIDE)))
    image = np.clip(image * light, 1, 255).astype("uint8")
    path = worlds.write_raster(folder / f"scene-{seed}.tif", image, names=worlds.BANDS, origin=ORIGIN, nodata=0)
    with torch.no_grad():
        scores = load_network(model).scores(
            torch.from_numpy(image.astype("float32"))[None], torch.ones(1, *light.shape) > 0
        )
    shares = scores[0].numpy()
    power = np.kron(rng.uniform(0.3, 2.0, (ROWS, COLS)), np.ones((SIDE, SIDE)))
    drawn = shares.astype("float64") ** power
    truth = (rng.random(light.shape) > np.cumsum(drawn / drawn.sum(axis=0), axis=0)).sum(axis=0)
    return Labelled(path, shares, np.minimum(truth, len(shares) - 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = worlds.finite_model(tmp_path_factory.mktemp("model") / "mine")
    known = labelled(folder.path.parent, folder, 1)
    scenes = known.of_scenes()
    sets = fit_class_sets(
        [str(number) for number in range(len(scenes))],
        [known.truth[at].ravel() for at in scenes],
        [known.scores[(slice(None), *at)].reshape(len(known.scores), -1).T for at in scenes],
        MISS,
    )
    facts = ClassSetFacts(
        miss=MISS,
        thresholds=tuple(None if np.isinf(q) else float(1 - q) for q in sets.quantiles),
        scenes=tuple(sets.scenes.tolist()),
        coverage=(None,) * len(sets.quantiles),
        mean_size=None,
        single=None,
    )
    store_class_sets(folder, facts, [entry.name for entry in folder.spec.classes], "generated scenes")
    return folder


def make(out: Path, model: ModelFolder, scene: Path, **options: object) -> geoseg.Result:
    more = {"layers": "sets", "cache": out.parent / "cache", "tile_size": 64, **options}
    return geoseg.run(scenes=(str(scene),), model=str(model.path), out=out, **more)


def read_all(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as file:
        pixels: NDArray[np.uint8] = file.read()
    return pixels


def test_sets_of_a_map_hold_the_true_class_as_often_as_promised(tmp_path: Path, model: ModelFolder) -> None:
    new = labelled(tmp_path, model, 2)
    result = make(tmp_path / "map", model, new.path)
    size, *inside = read_all(result.out / "sets.tif")
    inside = np.array(inside)
    np.testing.assert_array_equal(size, inside.sum(axis=0))
    assert inside.max() == 1
    for index, its in enumerate(inside):
        held = [its[at][new.truth[at] == index].mean() for at in new.of_scenes() if (new.truth[at] == index).any()]
        assert len(held) > 20
        assert np.mean(held) == pytest.approx(1 - MISS, abs=0.04), index
        assert 0.1 < its.mean() < 0.9  # a set of everything, or of nothing, would promise the same
    assert any(f"{1 - MISS:.0%} of the pixels of each class" in note for note in result.report["notes"])


def test_sets_are_those_of_the_scores_and_the_thresholds(tmp_path: Path, model: ModelFolder) -> None:
    new = labelled(tmp_path, model, 3)
    result = make(tmp_path / "map", model, new.path)
    least = read_item(model.path)["properties"]["geoseg:class_sets"]["thresholds"]
    inner = (slice(40, -40), slice(40, -40))  # beside its edge the network of a run sees nothing, not zeros
    inside = read_all(result.out / "sets.tif")[1:][(slice(None), *inner)]
    for index, threshold in enumerate(least):
        score = new.scores[index][inner]
        sure = np.abs(score - threshold) > 1e-4
        np.testing.assert_array_equal(inside[index][sure], (score >= threshold)[sure])
    bands = json.loads((result.out / "item.json").read_text())["assets"]["sets"]["bands"]
    names = [entry["name"] for entry in result.report["classes"]]
    assert [band["name"] for band in bands] == ["number of classes", *names]


def test_sets_do_not_depend_on_tiles_and_other_thresholds_make_other_tiles(tmp_path: Path, model: ModelFolder) -> None:
    scene = labelled(tmp_path, model, 4).path
    one = make(tmp_path / "one", model, scene)
    two = make(tmp_path / "two", model, scene, tile_size=256)
    assert (read_all(one.out / "sets.tif") != read_all(two.out / "sets.tif")).mean() < 1e-3
    again = make(tmp_path / "again", model, scene)
    assert again.report["tiles"]["computed"] == 0
    changed = worlds.finite_model(tmp_path / "other")
    own = read_item(model.path)["properties"]["geoseg:class_sets"]
    write_item(changed.path, with_sets(changed, {**own, "thresholds": [None] * len(own["thresholds"])}))
    every = make(tmp_path / "every", changed, scene)
    assert every.report["tiles"]["reused"] == 0
    assert (read_all(every.out / "sets.tif")[0] == len(own["thresholds"])).all()
    assert any("in every set" in note for note in every.report["notes"])


def with_sets(folder: ModelFolder, sets: object) -> dict[str, object]:
    document = read_item(folder.path)
    document["properties"]["geoseg:class_sets"] = sets
    return document


def test_sets_that_nobody_fitted_or_of_another_model_are_refused(tmp_path: Path, model: ModelFolder) -> None:
    scene = labelled(tmp_path, model, 5).path
    bare = worlds.finite_model(tmp_path / "bare")
    with pytest.raises(ModelMismatchError, match="keeps no class sets"):
        make(tmp_path / "refused", bare, scene)
    own = read_item(model.path)["properties"]["geoseg:class_sets"]
    for wrong, error, said in (
        ({**own, "classes": [f"other {name}" for name in own["classes"]]}, ModelMismatchError, "other "),
        ({**own, "temperature": [1.5]}, ModelSpecError, "temperature"),
        ({**own, "thresholds": [0.5]}, ModelSpecError, "class_sets"),
        ("all", ModelSpecError, "class_sets"),
    ):
        write_item(bare.path, with_sets(bare, wrong))
        with pytest.raises(error, match=said) as refused:
            make(tmp_path / "refused", bare, scene)
        assert len(str(refused.value).splitlines()) == 3
    with pytest.raises(RequestError, match="--layers"):
        geoseg.run(workflow="prompt", prompt="water", layers="sets", scenes=(str(scene),), out=tmp_path / "words")
