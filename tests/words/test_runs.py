"""Maps of prompts by the ordinary road, with the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import worlds

import geoseg
from geoseg.cli import main
from geoseg.demo.attributes import make_attributes
from geoseg.evidence import load_rules
from geoseg.heads.words import WordsHead

PROMPTS = ("red striped, crimson stripes", "blue plain", "green dotted")


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """180 x 210 pixels of coloured patches on a grid whose corner is a multiple of nothing."""
    made = make_attributes(np.random.default_rng(5), (180, 210), (1, 10, 7, 18, 21))
    image = np.rint(made.values * 10_000).astype("uint16")
    image[:, 40:60, 20:70] = 0
    folder = tmp_path_factory.mktemp("words")
    return worlds.write_raster(folder / "scene_20220101.tif", image, names=("B04", "B03", "B02"), nodata=0)


def ask(out: Path, scene: Path, prompts: tuple[str, ...] = PROMPTS, **options: object) -> geoseg.Result:
    options.setdefault("cache", out.parent / f"{out.name}-cache")
    where = {"scenes": (str(scene),), "sensor": "sentinel-2-l2a", "scale": 1e-4, "offset": 0.0}
    return geoseg.run(**where, prompt=prompts, out=out, **options)


@pytest.fixture(scope="module")
def made(scene, tmp_path_factory) -> geoseg.Result:
    return ask(tmp_path_factory.mktemp("made") / "map", scene)


def test_a_prompt_makes_a_map_with_its_words(made):
    classes = worlds.read(made.out / "classes.tif")
    assert [info["name"] for info in made.report["classes"]] == [
        "background",
        "blue plain",
        "red striped",
        "green dotted",
    ]
    assert set(np.unique(classes)) == {0, 1, 2, 3, 255}
    polygons = geopandas.read_parquet(made.out / "polygons.parquet")
    found = polygons[polygons["class"] > 0]
    assert set(found["prompt"]) == {"blue plain", "red striped, crimson stripes", "green dotted"}
    assert set(found[found["class"] == 2]["synonym"]) <= {"red striped", "crimson stripes"}
    assert found["score"].between(0, 1).all()
    assert found["margin"].between(0, 1).all()
    assert polygons[polygons["class"] == 0][["prompt", "synonym", "score"]].isna().all(axis=None)


@pytest.mark.parametrize("tile_size", [1, 512])
def test_maps_of_prompts_do_not_depend_on_tile_size(made, scene, tmp_path, tile_size):
    other = ask(tmp_path / "map", scene, tile_size=tile_size)
    for name in ("classes.tif", "confidence.tif"):
        assert (worlds.read(other.out / name) == worlds.read(made.out / name)).all()


def test_no_order_changes_the_map(made, scene, tmp_path):
    cache = made.out.parent / "map-cache"
    other = ask(tmp_path / "map", scene, ("green dotted", PROMPTS[0], "blue plain"))
    turned = ask(
        tmp_path / "turned", scene, ("green dotted", "crimson stripes, red striped", "blue plain"), cache=cache
    )
    for name in ("classes.tif", "confidence.tif", "polygons.parquet"):
        assert (other.out / name).read_bytes() == (made.out / name).read_bytes()
    assert turned.report["tiles"]["computed"] == 0
    for name in ("classes.tif", "confidence.tif"):
        assert (worlds.read(turned.out / name) == worlds.read(made.out / name)).all()


def test_a_later_prompt_needs_no_image_network_and_gets_the_same_bytes(scene, tmp_path, monkeypatch):
    first = ask(tmp_path / "first", scene, ("yellow checked",))
    cache = tmp_path / "asked-before-cache"
    ask(tmp_path / "before", scene, cache=cache)
    loaded = WordsHead._loaded

    def without_images(self):
        model = loaded(self)
        monkeypatch.setattr(model, "encode_image", lambda *_: pytest.fail("features are kept"))
        return model

    monkeypatch.setattr(WordsHead, "_loaded", without_images)
    later = ask(tmp_path / "later", scene, ("yellow checked",), cache=cache)
    for name in ("classes.tif", "confidence.tif", "polygons.parquet"):
        assert (later.out / name).read_bytes() == (first.out / name).read_bytes()


def test_polygons_of_a_prompt_carry_evidence_too(made, scene, tmp_path):
    rules = load_rules("landslide").model_dump(mode="json") | {"landslide_classes": ["blue plain"]}
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))  # JSON is YAML
    judged = ask(tmp_path / "map", scene, cache=made.out.parent / "map-cache", evidence=str(tmp_path / "rules.yaml"))
    blue = judged.polygons[judged.polygons["name"] == "blue plain"]
    assert judged.report["evidence"]["candidates"] == len(blue) > 0
    assert blue[["verdict", "prompt", "score", "elongation"]].notna().all(axis=None)


def test_words_that_the_model_does_not_know_give_a_warning_and_no_map(scene, tmp_path):
    result = ask(tmp_path / "map", scene, ("landing strip",))
    assert set(np.unique(worlds.read(result.out / "classes.tif"))) == {0, 255}
    assert any("landing" in text and "stays empty" in text for text in result.report["warnings"])


def test_missing_weights_end_in_three_lines(scene, tmp_path, capsys):
    words = ["run", "--scenes", str(scene), "--sensor", "sentinel-2-l2a", "--prompt", "river", "--model"]
    with pytest.raises(SystemExit) as left:
        main([*words, f"words:{tmp_path}/none", "--out", str(tmp_path / "out")])
    assert left.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": ("river",), "model": "demo-landcover"},
        {"model": "small-words"},
        {"prompt": ("river",), "legend": "worldcover"},
    ],
)
def test_what_does_not_go_together_is_refused(scene, tmp_path, options):
    with pytest.raises(geoseg.errors.RequestError):
        geoseg.run(scenes=(str(scene),), sensor="sentinel-2-l2a", out=tmp_path / "map", cache=tmp_path / "c", **options)


def test_the_report_shows_a_map_for_each_prompt(made):
    page = (made.out / "report.html").read_text()
    assert page.count('class="prompt-map"') == len(PROMPTS)
    assert json.loads((made.out / "report.json").read_text())["job"]["spec"]["prompt"] == list(PROMPTS)
