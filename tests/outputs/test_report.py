"""The report: one file that loads nothing, and in which data is text."""

import base64
import hashlib
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image

from geoseg.outputs.legend import rgba
from geoseg.outputs.preview import colour_classes, preview_geobox, read_preview, write_preview
from geoseg.outputs.raster import write_cog
from geoseg.outputs.record import PixelCounts, TileCounts
from geoseg.outputs.record_parts import SkippedScene
from geoseg.outputs.report import render_report, write_report
from geoseg.outputs.report_text import amount, area_unit, facts

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>javascript:x{{7*7}}"
LOADING = {"src", "href", "xlink:href", "action", "formaction", "data", "poster", "srcset", "background", "ping"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.own = [], [], {}
        self._inside = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside in ("script", "style"):
            self.own.setdefault(self._inside, []).append(data)
        else:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def imagery(pixels):
    return np.random.default_rng(0).integers(0, 256, (*pixels.shape, 3)).astype(np.uint8)


@pytest.fixture
def evil(record):
    classes = tuple(c.model_copy(update={"name": EVIL + str(c.index), "description": EVIL}) for c in record.classes)
    return record.model_copy(
        update={
            "classes": classes,
            "job": record.job.model_copy(update={"title": EVIL, "workflow": EVIL, "spec": {"prompt": [EVIL]}}),
            "model": record.model.model_copy(update={"title": EVIL, "licence": EVIL, "attribution": EVIL}),
            "scenes": tuple(s.model_copy(update={"id": EVIL, "notes": (EVIL,)}) for s in record.scenes),
            "scenes_skipped": (SkippedScene(id=EVIL, reason=EVIL),),
            "warnings": (EVIL,),
            "notes": (EVIL,),
            "areas": tuple(a.model_copy(update={"feature": EVIL}) for a in record.areas),
        }
    )


def test_page_loads_nothing_and_has_one_script_of_its_own(record, pixels, geobox, imagery):
    page = Page(render_report(record, pixels, geobox, imagery))
    loads = [(t, k, v) for t, attrs in page.tags for k, v in attrs.items() if k in LOADING]
    assert len(loads) == 2
    assert all(v.startswith("data:image/") for _, _, v in loads)
    assert not page.all("link")
    assert not page.all("iframe")
    assert "url(" not in page.own["style"][0]
    assert "@import" not in page.own["style"][0]
    assert [len(page.all(tag)) for tag in ("script", "style")] == [1, 1]
    assert not [k for _, attrs in page.tags for k in attrs if k.startswith("on") or k == "style"]


@pytest.mark.fault(92)
def test_policy_lets_in_the_pages_own_style_and_script_alone(record, pixels, geobox):
    page = Page(render_report(record, pixels, geobox))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256("".join(page.own[tag]).encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy


@pytest.mark.fault(92)
def test_data_is_text(record, evil, pixels, geobox, imagery):
    plain, page = (Page(render_report(r, pixels, geobox, imagery)) for r in (record, evil))
    tags = {tag for tag, _ in plain.tags} | {"li", "ul", "h3", "img", "b", "br"}
    assert {tag for tag, _ in page.tags} <= tags
    assert len(page.all("script")) == 1
    assert page.own["script"] == plain.own["script"]
    assert "".join(page.text).count(EVIL) >= 12
    assert "javascript:" not in [v for _, attrs in page.tags for k, v in attrs.items() if k in LOADING]
    assert page.all("li")[1]["data-name"] == EVIL + "0"


@pytest.mark.fault(92)
def test_a_colour_that_is_none_is_refused(record, pixels, geobox):
    bad = record.classes[0].model_copy(update={"colour": "red;}</style>"})
    with pytest.raises(ValueError, match="colour"):
        render_report(record.model_copy(update={"classes": (bad, *record.classes[1:])}), pixels, geobox)


def test_page_says_what_was_found(record, pixels, geobox, tmp_path):
    text = " ".join(Page(write_report(tmp_path / "report.html", record, pixels, geobox).read_text("utf-8")).text)
    for fact in (
        "Brenner & Söhne",
        "2025-06-12 to 2025-07-02",
        "failed: time-out",
        "clouds cover 97 % of it",
        "offset of -1000 applied",
        "Level-1C",
        "Made by somebody",
        "4 min 31 s",
        "ab" * 32,
    ):
        assert fact in text, fact
    assert "canary" not in text


def test_a_page_without_a_name_is_called_after_its_model_and_not_after_its_workflow(record, pixels, geobox):
    plain = record.model_copy(update={"job": record.job.model_copy(update={"title": "", "workflow": "landcover"})})
    page = render_report(plain, pixels, geobox)
    head = page[page.index("<header>") : page.index("</header>")]
    assert record.model.title in head
    assert record.model.name in head
    assert "landcover" not in head
    assert "landcover" not in page[page.index("<title>") : page.index("</title>")]


def test_warnings_come_before_the_map(record, pixels, geobox):
    page = render_report(record.model_copy(update={"warnings": ("no cloud mask",)}), pixels, geobox)
    assert page.index("Look at this first") < page.index("no cloud mask") < page.index("<h2>Map</h2>")
    assert "Look at this first" not in render_report(record, pixels, geobox)


def test_a_run_that_reused_every_tile_has_no_speed(record):
    reused = record.model_copy(update={"tiles": TileCounts(total=4, computed=0, reused=4)})
    speeds = [dict(row for group in facts(entry) for row in group.rows)["Speed"] for entry in (record, reused)]
    assert "per second" in speeds[0]
    assert "per second" not in speeds[1]


@pytest.mark.parametrize("area_m2", [0.0, 1e-3, 3.0, 49.0, 999.0, 1e4, 1e9])
@pytest.mark.parametrize("total_m2", [1.0, 1e4, 1e6, 1e12])
def test_no_area_is_shown_as_nothing(area_m2, total_m2):
    shown = amount(area_m2 / area_unit(max(total_m2, area_m2))[1])
    assert (float(shown.replace("\u202f", "").removeprefix("< ")) == 0) == (area_m2 == 0)


def test_the_maps_pixels_are_the_classes(record, pixels, geobox):
    address = Page(render_report(record, pixels, geobox)).all("image")[0]["href"]
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGBA")
    shown = np.asarray(picture)
    for entry in record.classes:
        assert (shown[pixels == entry.index] == rgba(entry.colour)).all()
    assert (shown[pixels == 255][:, 3] == 0).all()


def test_a_page_without_crs_dates_or_areas_is_made(record, pixels):
    bare = record.model_copy(
        update={
            "scenes": (record.scenes[0].model_copy(update={"datetime": None, "share": None, "platform": ""}),),
            "areas": tuple(a.model_copy(update={"area_m2": None, "area_m2_planar": None}) for a in record.areas),
            "grid": record.grid.model_copy(update={"crs": None, "unit": "pixel", "pixel_size": (1.0, 1.0)}),
            "pixels": PixelCounts(
                total=9,
                outside_aoi=9,
                aoi=0,
                classified=0,
                per_class={},
                nodata_unobserved=0,
                nodata_masked=0,
                failed={},
            ),
        }
    )
    page = Page(render_report(bare, pixels, GeoBox(pixels.shape, Affine.identity(), None)))
    assert "no date" in "".join(page.text)
    assert not page.all("figcaption")


@pytest.mark.parametrize(
    ("epsg", "origin", "size", "ratio"),
    [(4326, (10, 60), 1e-4, 2.0), (32633, (5e5, 5.4e6), 10, 1.0)],
    ids=["degrees", "metres"],
)
def test_the_map_is_drawn_true_to_the_ground(record, epsg, origin, size, ratio):
    box = GeoBox((100, 100), Affine(size, 0, origin[0], 0, -size, origin[1]), f"EPSG:{epsg}")
    page = Page(render_report(record, np.zeros((100, 100), np.uint8), box))
    _, _, width, height = map(float, page.all("svg")[0]["viewbox"].split())
    assert height / width == pytest.approx(ratio, rel=0.02)


def test_preview_is_read_from_overviews_and_keeps_classes(tmp_path):
    pixels = np.full((3000, 2000), 255, np.uint8)
    pixels[:1500] = 3
    pixels[1500:, :1000] = 5
    box = GeoBox(pixels.shape, Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32633")
    written = write_cog(tmp_path / "c.tif", box, [(slice(0, 3000), slice(0, 2000), pixels)])
    small = preview_geobox(box)
    assert small.shape == (1200, 800)
    np.testing.assert_allclose(small.extent.boundingbox.bbox, box.extent.boundingbox.bbox)
    seen = read_preview(written.path, small.shape)
    assert set(np.unique(seen)) == {3, 5, 255}
    assert (seen[:599] == 3).all()
    assert (seen[602:, 402:] == 255).all()
    assert preview_geobox(small) is small


def test_preview_shows_classes_over_imagery(tmp_path, pixels, legend, imagery):
    path = write_preview(tmp_path / "preview.png", pixels, legend, imagery, np.ones(pixels.shape, bool))
    shown = np.asarray(Image.open(path).convert("RGBA"))
    np.testing.assert_array_equal(shown[pixels == 255][:, :3], imagery[pixels == 255])
    water = pixels == 0
    expected = 0.6 * np.array(rgba(legend[0].colour)[:3]) + 0.4 * imagery[water]
    assert np.abs(shown[water][:, :3] - expected).max() <= 2
    plain = colour_classes(pixels, legend).convert("RGBA")
    assert tuple(np.asarray(plain)[pixels == 1][0]) == rgba(legend[1].colour)
