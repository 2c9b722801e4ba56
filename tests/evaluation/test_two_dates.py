"""``geoseg evaluate`` on pairs of dates: networks, land cover compared and detectors, by the road of a change map."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import worlds
import yaml
from affine import Affine
from pairs import BANDS, PairOfDates, write_pair

from geoseg.cli import main
from geoseg.errors import GeosegError, ModelMismatchError
from geoseg.evaluation.calibrate import calibrate
from geoseg.evaluation.record import EvaluationRecord
from geoseg.evaluation.task import Task, compare
from geoseg.grid import Window
from geoseg.models import ClassInfo
from geoseg.settings import Settings

CHANGE = (ClassInfo(0, "no change", "#e8e8e4"), ClassInfo(1, "change", "#c51b7d"))
SHAPE = (160, 200)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PairOfDates]]:
    """Four pairs as A, B and label, one without a place; and what they are."""
    folder = tmp_path_factory.mktemp("pairs")
    made = []
    for number in range(4):
        pair = write_pair(
            folder / "made" / str(number), shape=SHAPE, seed=number, **({"crs": None} if number == 3 else {})
        )
        for inside, path in (("A", pair.before), ("B", pair.after)):
            (folder / inside).mkdir(exist_ok=True)
            path.rename(folder / inside / f"{number}.tif")
        changed = np.zeros(SHAPE, np.uint8)
        changed[pair.changed[: SHAPE[0], : SHAPE[1]]] = 255
        worlds.write_raster(folder / "label" / f"{number}.tif", changed[None], **({"crs": None} if number == 3 else {}))
        made.append(pair)
    return folder, made


def written(folder: Path, path: Path, evaluate: dict[str, object] | None = None, **data: object) -> Path:
    block = {"reader": "pairs", "path": str(folder), "bands": list(BANDS), **data}
    path.write_text(yaml.safe_dump({"data": block, "evaluate": evaluate or {}}))
    return path


def test_networks_land_cover_and_detectors_stand_in_one_table(pairs, tmp_path: Path, capsys) -> None:
    folder, made = pairs
    config = written(folder, tmp_path / "pairs.yaml", held_out={"groups": ["2", "3"]})
    network = worlds.finite_model(tmp_path / "network", bands=BANDS[:3], classes=CHANGE, dates=2)
    cover = worlds.finite_model(tmp_path / "cover", bands=BANDS[:3], seed=4)
    with pytest.raises(SystemExit) as end:
        main(
            [
                "evaluate",
                str(config),
                "--model",
                str(network.path),
                "--model",
                str(cover.path),
                "--out",
                str(tmp_path / "out"),
            ]
        )
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert "F1 of class" in told
    record = EvaluationRecord.model_validate_json((tmp_path / "out" / "evaluation.json").read_text())
    assert [one.kind for one in record.models] == [
        "network",
        "network",
        "detector",
        "detector",
        "random forest",
        "majority class",
    ]
    assert [one.name for one in record.models[2:4]] == ["ir-mad", "change-vectors-standardised"]
    assert record.models[1].name.endswith("on both dates")
    assert record.data.dates == 2
    labelled = sum(int((~pair.masked).sum()) for pair in made[2:])
    for one in record.models:
        assert sum(map(sum, one.confusion)) == labelled, one.name  # what either date lacks is not asked
        assert one.unanswered == 0
    ours = record.models[2]
    assert ours.classes[1].f1 is not None
    assert ours.classes[1].f1 > 0.9
    assert "ir-mad" in (tmp_path / "out" / "evaluation.html").read_text()


def test_an_evaluation_scores_the_map_that_a_run_makes(pairs, tmp_path: Path) -> None:
    folder, made = pairs
    cover = worlds.finite_model(tmp_path / "cover", bands=BANDS[:3], seed=4)
    config = written(folder, tmp_path / "pairs.yaml", {"detectors": ["change-vectors"]})
    task = Task.read(config, ["1"])
    record = compare(task, [cover], Settings())
    files = {"scenes_before": str(folder / "A" / "1.tif"), "scenes_after": str(folder / "B" / "1.tif")}
    truth = made[1].changed
    for model, options in (
        (record.models[0], {"detector": "post-classification", "model": str(cover.path)}),
        (record.models[1], {"detector": "change-vectors"}),
    ):
        result = made[1].run(tmp_path / model.name.replace(" ", "-"), composite="first", **options, **files)
        classes = worlds.read(result.out / "classes.tif")
        seen, found = classes != 255, classes > 0
        cells = [[int((seen & (truth == t) & (found == f)).sum()) for f in (False, True)] for t in (False, True)]
        assert [list(row[:2]) for row in model.confusion] == cells, model.name


def test_detectors_alone_and_by_name(pairs, tmp_path: Path, capsys) -> None:
    config = written(pairs[0], tmp_path / "pairs.yaml")
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(config), "--detector", "difference", "--hold-out", "0", "--json", "--quiet"])
    assert end.value.code == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in record["models"]] == ["difference", "random forest", "majority class"]
    for words in (("--detector", "magic"), ("--detector", "post-classification"), ()):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", str(config), *words, "--quiet"])
        assert end.value.code == 2, words


def test_what_does_not_fit_two_dates_is_refused(pairs, tmp_path: Path) -> None:
    kinds = [{"name": "none", "values": 0}, {"name": "house", "values": 255}, {"name": "slide", "values": 7}]
    cover = worlds.finite_model(tmp_path / "cover", bands=BANDS[:3], seed=4)
    network = worlds.finite_model(tmp_path / "network", bands=BANDS[:3], classes=CHANGE, dates=2)
    with_kinds = Task.read(written(pairs[0], tmp_path / "kinds.yaml", classes=kinds))
    with pytest.raises(ModelMismatchError, match="house"):
        with_kinds.mapper(cover, Settings())
    with pytest.raises(ModelMismatchError, match="house"):
        with_kinds.detectors(Settings(), ["ir-mad"])
    assert with_kinds.detectors(Settings()) == []
    with pytest.raises(GeosegError, match="1 date"):
        calibrate(Task.read(written(pairs[0], tmp_path / "held.yaml"), ["0"]), cover, Settings())
    data = {"reader": "rasters", "path": str(pairs[0]), "images": "A/*", "labels": "label/*", "bands": list(BANDS)}
    single = tmp_path / "single.yaml"
    single.write_text(yaml.safe_dump({"data": {**data, "classes": kinds}}))
    with pytest.raises(ModelMismatchError, match="compares two dates"):
        Task.read(single).mapper(network, Settings())
    with pytest.raises(GeosegError, match="one date"):
        Task.read(single).detectors(Settings(), ["ir-mad"])


def test_polygons_of_change_are_labels(pairs, tmp_path: Path) -> None:
    folder, made = pairs
    member = Task.read(written(folder, tmp_path / "rasters.yaml")).held.members[0]
    assert isinstance(member.transform, Affine)
    rows, cols = np.nonzero(made[0].changed)
    corners = [
        member.transform @ (col, row) for col, row in ((cols.min(), rows.min()), (cols.max() + 1, rows.max() + 1))
    ]
    box = shapely.box(*np.array(corners).min(axis=0), *np.array(corners).max(axis=0))
    polygons = geopandas.GeoDataFrame({"kind": ["change"]}, geometry=[box], crs=member.crs.proj)
    (folder / "outlines").mkdir()
    polygons.to_crs("EPSG:4326").to_file(folder / "outlines" / "0.geojson")
    data = {"labels": "outlines/*.geojson", "images": "A/0.tif", "after": "B/0.tif"}
    for more, outside in (({}, 0), ({"attribute": "kind", "elsewhere": "ignore"}, 255)):
        (drawn,) = Task.read(written(folder, tmp_path / "polygons.yaml", **data, **more)).held.members
        truth = drawn.labels(Window(0, 0, *SHAPE))
        assert (truth == np.where(made[0].changed, 1, outside)).mean() > 0.999
    with pytest.raises(GeosegError, match="elsewhere"):
        Task.read(written(folder, tmp_path / "wrong.yaml", elsewhere="nowhere", **data))
    (folder / "outlines" / "3.geojson").write_text((folder / "outlines" / "0.geojson").read_text())
    with pytest.raises(GeosegError, match="without a place"):
        Task.read(
            written(folder, tmp_path / "unplaced.yaml", labels="outlines/3.geojson", images="A/3.tif", after="B/3.tif")
        )
