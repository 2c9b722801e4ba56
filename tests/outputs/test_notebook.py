"""The view of a result in a notebook: well-formed, escaped, with everything that it promises to show."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import worlds

import geoseg
from geoseg.models import ClassInfo
from geoseg.outputs import notebook

NAMES = ('<b>water</b> & "ice"', "rock </td><script>alert(1)</script>", "sand' onload='x", "ünïcode &amp; more")
VOID = {"img", "br"}


class Page(HTMLParser):
    """Elements with their attributes, texts of cells, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "an element is left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def colours(self) -> list[str]:
        return [re.findall(r"background: ([^;]+)", e["style"])[0] for e in self.of("span")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, geoseg.Result]:
    """A map, and maps of two dates, of classes with wild names."""
    folder = tmp_path_factory.mktemp("notebook")
    classes = tuple(
        ClassInfo(i, name, colour) for i, (name, colour) in enumerate(zip(NAMES, worlds.COLOURS, strict=True))
    )
    model = worlds.finite_model(folder / "model", classes=classes)
    scenes = []
    for number, day in enumerate(("20220101", "20220201")):
        image = worlds.landscape((50, 60), 3, seed=number).astype("uint8")
        image[:, :12, :20] = 0
        scenes.append(str(worlds.write_raster(folder / f"s_{day}.tif", image, names=worlds.BANDS, nodata=0)))
    where = {"model": str(model.path), "cache": folder / "cache"}
    return {
        "one": geoseg.run(scenes=scenes[:1], out=folder / "a <map> & more", **where),
        "dates": geoseg.run(scenes=scenes, composite="per-date", out=folder / "dates", **where),
    }


def test_a_notebook_shows_map_legend_areas_and_what_failed(made):
    result = made["one"]
    page = Page(result._repr_html_())
    (image,) = page.of("img")
    assert (
        base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        == (result.out / "preview.png").read_bytes()
    )
    rows = [row for row in result.report["areas"] if row["feature"] == "all" and row["pixels"]]
    assert len(rows) > 1
    assert page.colours == [worlds.COLOURS[row["index"]] for row in sorted(rows, key=lambda row: -row["pixels"])]
    for row in rows:
        at = page.texts.index(NAMES[row["index"]])
        assert page.texts[at + 1] == f"{row['area_m2'] / 1e4:.2f} ha"
        assert page.texts[at + 2] == f"{100 * row['share']:.1f} %"
    assert str(result.out) in page.texts
    empty = result.report["pixels"]["nodata_masked"] + result.report["pixels"]["nodata_unobserved"]
    share = 100 * empty / result.report["pixels"]["aoi"]
    assert f"failed 0 % of the region; no data {share:.1f} %" in page.texts


@pytest.mark.fault(92)
def test_nothing_of_the_data_is_markup(made):
    page = Page(made["one"]._repr_html_())
    assert {tag for tag, _ in page.elements} <= {
        "div", "p", "strong", "br", "code", "img", "table", "thead", "tbody", "tr", "th", "td", "span", "ul", "li",
    }  # fmt: skip
    assert {name for _, attributes in page.elements for name in attributes} <= {"class", "style", "alt", "src"}


def test_a_job_with_dates_shows_each_of_them(made):
    result = made["dates"]
    page = Page(result._repr_html_())
    pictures = [base64.b64decode(image["src"].partition(",")[2]) for image in page.of("img")]
    assert pictures == [(one.out / "preview.png").read_bytes() for one in result.dates.values()]
    assert [image["alt"] for image in page.of("img")] == ["map of 2022-01-01", "map of 2022-02-01"]
    assert len(page.of("table")) == len(page.of("details")) == 2
    assert [text[:10] for text in page.texts if text.startswith("2022-")] == list(result.dates)
    assert {text for text in page.texts if text in NAMES}


def test_many_dates_do_not_make_a_notebook_heavy(made, monkeypatch):
    monkeypatch.setattr(notebook, "_PICTURES", 1)
    page = Page(made["dates"]._repr_html_())
    assert (len(page.of("img")), len(page.of("table"))) == (1, 2)


def changed(result: geoseg.Result, **changes: object) -> geoseg.Result:
    return geoseg.Result(result.out, {**json.loads(json.dumps(result.report)), **changes})


def test_failed_pixels_and_warnings_are_shown(made):
    pixels = {**made["one"].report["pixels"], "aoi": 1000, "failed": {"read": 20, "model": 5}}
    page = Page(changed(made["one"], pixels=pixels, warnings=["a < b"])._repr_html_())
    assert "failed (could not be read)" in page.texts
    assert any(text.startswith("failed 2.5 % of the region") for text in page.texts)
    assert "a < b" in page.texts


def test_a_colour_that_is_none_does_not_reach_a_style(made):
    classes = [{**line, "colour": "red; background: url(//x)"} for line in made["one"].report["classes"]]
    assert set(Page(changed(made["one"], classes=classes)._repr_html_()).colours) == {"#808080"}


def test_areas_of_a_map_without_a_place_are_pixels(made):
    areas = [{**row, "area_m2": None} for row in made["one"].report["areas"]]
    page = Page(changed(made["one"], areas=areas)._repr_html_())
    rows = [row["pixels"] for row in areas if row["feature"] == "all" and row["pixels"]]
    assert {f"{count:,} px".replace(",", "\u202f") for count in rows} <= set(page.texts)


def test_a_folder_with_little_in_it_says_where_it_is(tmp_path):
    page = Page(geoseg.Result(Path(tmp_path), {})._repr_html_())
    assert str(tmp_path) in page.texts
    assert page.of("img") == page.of("table") == []
