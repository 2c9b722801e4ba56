"""Group J of the list of faults, by the command line: names that strangers chose climb nowhere, run nowhere and command nobody."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas
import pytest
import rasterio
import worlds
from rasterio.warp import transform_bounds

from geoseg.cli import main
from geoseg.errors import GeosegError
from geoseg.models import ClassInfo

CLIMBING = "../../../evil"
NAMES = (CLIMBING, "=HYPERLINK(1)", "<script>evil()</script>[/b]", "\x1b[31mred\x1b]0;evil\x07\u202egpj.\r\nforged")
SCENE = "/../" + NAMES[2]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a catalogue of one item and a region whose names mean harm."""
    folder = tmp_path_factory.mktemp("evil")
    image = worlds.landscape((70, 90), 3).astype("uint8")
    scene = worlds.write_raster(folder / "catalog" / "scene.tif", image, names=worlds.BANDS)
    classes = tuple(ClassInfo(n, name, worlds.COLOURS[n], description=NAMES[2]) for n, name in enumerate(NAMES))
    worlds.finite_model(folder / "model", classes=classes, title=NAMES[2], licence=NAMES[3])
    with rasterio.open(scene) as file:
        box = transform_bounds(file.crs, 4326, *file.bounds)
    region = worlds.region(folder / "region.geojson", *box)
    shape = json.loads(region.read_text())
    feature = {"type": "Feature", "id": CLIMBING, "properties": {"id": NAMES[2], NAMES[2]: NAMES[1]}, "geometry": shape}
    region.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, {**feature, "id": NAMES[1]}]}))
    bands = [{"name": band, "common_name": band} for band in worlds.BANDS]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": CLIMBING + SCENE,
        "collection": "rgb",
        "geometry": shape,
        "bbox": list(box),
        "properties": {"datetime": "2022-03-01T10:00:00Z", "title": NAMES[2]},
        "links": [],
        "assets": {CLIMBING: {"href": "./scene.tif", "roles": ["data"], "eo:bands": bands, "title": NAMES[2]}},
    }
    links = [{"rel": "item", "href": "./item.json"}]
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": CLIMBING, "description": NAMES[2], "links": links}
    (folder / "catalog" / "item.json").write_text(json.dumps(item))
    (folder / "catalog" / "catalog.json").write_text(json.dumps(root))
    return folder


@pytest.fixture
def asks(evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`geoseg run` of it with more words; exit status, and all that was said."""
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))

    def call(*words: str, out: Path) -> tuple[int, str]:
        request = ["--catalog", str(evil / "catalog" / "catalog.json"), "--aoi", str(evil / "region.geojson")]
        request += ["--collection", "rgb", "--sensor", "rgb", "--datetime", "2022-01-01/2022-12-31"]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--model", str(evil / "model"), "--device", "cpu", "--out", str(out), *words])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out + said.err

    return call


def tree(*folders: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}


class Tags(HTMLParser):
    """Elements of a page that could run or load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [tag] if tag in {"script", "iframe", "object", "embed", "link", "base"} else []
        self.found += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


@pytest.mark.fault(90)
@pytest.mark.fault(92)
@pytest.mark.fault(93)
def test_fault_90_names_of_strangers_write_nothing_outside_and_are_text_everywhere(
    asks: Any, evil: Path, tmp_path: Path
):
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    before = tree(tmp_path, evil)
    status, said = asks(
        "--composite", "per-date", "--layers", "scores", "--format", "geojson,gpkg,flatgeobuf", out=home / "maps"
    )
    if status == 2:
        status, said = asks("--composite", "per-date", "--layers", "scores", out=home / "maps")
    assert status == 0, said
    new = {path for path, at in tree(tmp_path, evil).items() if before.get(path) != at}
    assert new
    assert [
        path for path in new if not path.is_relative_to(home / "maps") and not path.is_relative_to(tmp_path / "cache")
    ] == []
    assert sorted(path.name for path in (home / "maps").iterdir() if path.is_dir()) == ["2022-03-01", "job"]
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[/b]" in said, "brackets of names are brackets"
    assert "\nforged" not in said
    for page in (home / "maps").rglob("report.html"):
        assert set(Tags(page.read_text()).found) <= {"script"}
        assert page.read_text().count("<script") == 1
        assert "evil()</script>" not in page.read_text()
    (table,) = (home / "maps").rglob("areas.csv")
    cells = [cell for row in csv.reader(table.open(newline="")) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    assert [cell for cell in cells if cell[:1] in "=+@\t\r" and cell] == []
    (polygons,) = (home / "maps").rglob("polygons.parquet")
    assert len(geopandas.read_parquet(polygons)) > 0


@pytest.mark.fault(90)
def test_fault_90_links_in_the_output_folder_lead_nowhere(asks: Any, tmp_path: Path):
    """A file that is a link is replaced; a folder that is one is refused."""
    victim, elsewhere = tmp_path / "victim.tif", tmp_path / "elsewhere"
    victim.write_bytes(b"mine")
    elsewhere.mkdir()
    out = tmp_path / "out"
    assert asks("--quiet", out=out)[0] == 0
    for name in ("classes.tif", "report.json", "areas.csv", "polygons.parquet"):
        (out / name).unlink()
        (out / name).symlink_to(victim)
    assert asks("--quiet", out=out)[0] == 0
    assert victim.read_bytes() == b"mine"
    assert [path.name for path in out.iterdir() if path.is_symlink()] == []
    trapped = tmp_path / "trapped"
    trapped.mkdir()
    (trapped / "job").symlink_to(elsewhere)
    status, said = asks("--quiet", out=trapped)
    assert status == 2, said
    assert said.count("expected:") == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.fault(93)
@pytest.mark.parametrize("make", [lambda text: GeosegError(text, text, text)])
def test_fault_93_three_lines_stay_three_and_command_no_terminal(make: Callable[[str], GeosegError]):
    said = str(make("a\n\x1b[2Jb\r\u2028c\x07\x9bK"))
    assert said.splitlines() == [
        "given:    a \\x1b[2Jb c\\x07\\x9bK",
        "expected: a \\x1b[2Jb c\\x07\\x9bK",
        "to do:    a \\x1b[2Jb c\\x07\\x9bK",
    ]


@pytest.mark.fault(94)
def test_fault_94_a_fault_of_ours_repeats_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """What nobody foresaw is told with the words of the command, in which there may be a password."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("reading https://u:CANARY@h/a?sig=CANARY")

    monkeypatch.setattr("geoseg.spec.JobSpec.build", broken)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--scenes", "https://me:CANARY@host/a.tif?sig=CANARY&token=CANARY", "--model", "m"])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "ZeroDivisionError" in said
    assert "CANARY" not in said
