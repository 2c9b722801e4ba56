"""A network that compares two dates, in the place of the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import worlds
from pairs import BANDS, PairOfDates, write_pair

from geoseg.errors import GeosegError
from geoseg.models import ClassInfo, ModelFolder

CLASSES = (ClassInfo(0, "no change", "#e8e8e4"), ClassInfo(1, "change", "#c51b7d"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> PairOfDates:
    return write_pair(tmp_path_factory.mktemp("pair"), shape=(96, 140))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("models") / "pairs"
    return worlds.finite_model(folder, bands=BANDS[:3], classes=CLASSES, dates=2)


def test_a_network_of_two_dates_finds_the_change(pair: PairOfDates, network: ModelFolder, tmp_path: Path) -> None:
    options = {"model": str(network.path), "backend": "torch"}
    whole, cut, swapped = (
        pair.run(tmp_path / name, **options, **more)
        for name, more in (
            ("whole", {}),
            ("cut", {"tile_size": 1}),
            ("swapped", {"scenes_before": str(pair.after), "scenes_after": str(pair.before)}),
        )
    )
    classes = worlds.read(whole.out / "classes.tif")
    assert set(np.unique(classes)) == {0, 1, 255}
    assert (classes[~pair.masked] < 2).all()
    for other in (cut, swapped):
        assert (worlds.read(other.out / "classes.tif") == classes).mean() > 0.999
    assert whole.report["change"]["detector"] == network.spec.name
    assert whole.report["change"]["threshold"] is None
    assert whole.report["model"]["task"] == "change-detection"
    assert set(whole.polygons["class"]) == {1}
    same = pair.run(tmp_path / "same", **options, scenes_after=str(pair.before))
    assert not (worlds.read(same.out / "classes.tif") == 1).any()


def test_one_date_is_refused(pair: PairOfDates, network: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(GeosegError, match="two dates") as refused:
        pair.run(tmp_path / "map", model=str(network.path), detector="post-classification")
    assert refused.value.exit_code == 2
