"""The map page in a real browser: from a drawn region to the numbers of a polygon, by mouse, by keyboard and by touch."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from PIL import Image

from geoseg.demo import write_demo
from geoseg_api import ServiceSettings, create_app
from geoseg_api.routes import page as page_routes
from geoseg_api.routes.page import policy
from geoseg_api.store import NewJob
from geoseg_api.worker import Worker

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
HOSTILE = "<img src=x onerror=\"document.title='pwned'\">"
PATIENCE_MS = 60_000


def lacking():
    """What these tests miss here, which CI must have."""
    if not page_routes.is_built():
        return "needs the library of the map page: make page"
    return None if CHROMIUM else "needs Debian's chromium"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()) and "SERVICES_REQUIRED" not in os.environ, reason=str(lacking())),
]


@dataclass
class Site:
    """A service on loopback, with a worker."""

    url: str
    service: object
    region: list[float]  # west, south, east, north of the demo's own region
    done: str  # the id of a finished map of it


def serving(settings):
    """A server in a thread, and how to end it."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()

    def end():
        app.state.service.stopping.set()
        server.should_exit = True
        thread.join()
        app.state.service.close()

    return f"http://127.0.0.1:{listening.getsockname()[1]}/", app.state.service, end


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The service, once it has made its first map; the processes that plan and compute are warm from then on."""
    folder = tmp_path_factory.mktemp("page")
    settings = ServiceSettings(data=folder / "data", price_per_hour=1.0)
    demo = write_demo(settings.demo, shape=(192, 288), uav_shape=(256, 256), later=True)
    (feature,) = json.loads(demo.region.read_text())["features"]
    x, y = np.array(feature["geometry"]["coordinates"][0]).T
    url, service, end = serving(settings)
    worker = Worker(settings, service.jobs)
    working = threading.Thread(target=worker.run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOSEG_BACKEND", "openvino")  # the network's export needs no torch, which takes long to load
        patch.setenv("GEOSEG_CACHE", str(folder / "cache"))
        working.start()
        done = finished_map(url)
    yield Site(url, service, [float(x.min()), float(y.min()), float(x.max()), float(y.max())], done)
    worker.stopping.set()
    working.join()
    end()


def finished_map(url):
    """The id of a finished map of the demo's whole region."""
    ask = {"headers": {"Prefer": "respond-async"}, "json": {"inputs": {}}, "timeout": 120}
    job = httpx.post(f"{url}processes/demo/execution", **ask).json()["jobID"]
    end = time.monotonic() + 120
    while time.monotonic() < end:
        status = httpx.get(f"{url}jobs/{job}").json()
        if status["status"] not in {"accepted", "running"}:
            break
        time.sleep(0.2)
    assert status["status"] == "successful", status
    return job


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, site):
    """Opens the page; afterwards nothing may have gone wrong in it, and no other host may have been asked."""
    contexts, wrong = [], []

    def open_page(url=site.url, path="", also=(), **options):
        options = {"viewport": {"width": 960, "height": 640}, **options}
        context = browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request", lambda asked: asked.url.startswith((url, "data:", "blob:", *also)) or wrong.append(asked.url)
        )
        page.goto(url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def still(page):
    """Waits until the map has nothing more to draw."""
    page.wait_for_timeout(300)
    page.locator("#map[data-state=idle]").wait_for()


def picture(page):
    """The map's pixels (y, x, 3) as a person sees them."""
    return np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB"))


def watch_status(page):
    """Notes every text of the line that tells how a job stands."""
    page.evaluate(
        """() => {
            window.told = [];
            const note = () => {
                const text = document.querySelector("#job-status")?.textContent;
                if (text && text !== window.told.at(-1)) window.told.push(text);
            };
            new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )


def set_opacity(page, percent):
    page.locator("#opacity").fill(str(percent))
    still(page)


@pytest.fixture
def done(site):
    return site.done


def test_from_a_drawn_region_to_the_numbers_of_a_polygon(site, visit):
    page = visit()
    page.select_option("#process", "demo")
    west, south, east, north = site.region
    page.fill("#area-text", f"{west - 0.01}, {south - 0.01}, {east + 0.01}, {north + 0.01}")
    page.click("#area-form button")  # brings the map there
    still(page)
    box = page.locator("#map").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.click("#draw-box")
    page.mouse.move(middle[0] - 150, middle[1] - 100)
    page.mouse.down()
    page.mouse.move(middle[0] + 100, middle[1] + 50, steps=3)
    page.mouse.move(middle[0] + 150, middle[1] + 100)
    page.mouse.up()
    drawn = [float(part) for part in page.input_value("#area-text").split(",")]
    assert west - 0.01 < drawn[0] < drawn[2] < east + 0.01
    assert south - 0.01 < drawn[1] < drawn[3] < north + 0.01

    page.click("#plan")
    plan = page.locator("#plan-table").inner_text()
    assert {"Area", "Scenes", "Pixels", "Time", "Memory", "Model"} <= {line.split("\t")[0] for line in plan.split("\n")}

    watch_status(page)
    page.click("#run")
    page.locator("#legend").wait_for()
    told = page.evaluate("window.told")
    assert told[-1].startswith("Done")
    assert any(line.startswith(("Waiting", "Running")) for line in told)

    job = page.url.rpartition("job=")[2]
    report = httpx.get(f"{site.url}jobs/{job}/results/report").json()
    set_opacity(page, 100)
    seen = Counter(map(tuple, picture(page).reshape(-1, 3).tolist()))
    colours = {c["index"]: tuple(bytes.fromhex(c["colour"][1:])) for c in report["classes"]}
    shares = {row["index"]: row["share"] for row in report["areas"] if row["feature"] == "all"}
    total = sum(seen[colours[index]] for index in shares)
    assert total > 5_000
    for index, share in shares.items():
        assert seen[colours[index]] / total == pytest.approx(share, abs=0.03)

    page.mouse.click(*middle)
    card = page.locator("#polygon table")
    card.wait_for()
    assert {"Class", "Area", "Mean confidence"} <= {line.split("\t")[0] for line in card.inner_text().split("\n")}

    page.reload()
    page.locator("#legend").wait_for()
    assert page.locator(f"[data-job='{job}'][aria-current=true]").count() == 1
    links = page.locator("#downloads a")
    assert httpx.head(links.first.get_attribute("href")).status_code == 200


def test_without_a_mouse(site, visit):
    page = visit()
    keys = page.keyboard

    def go_to(identity):
        for _ in range(80):
            if page.evaluate("document.activeElement.id") == identity:
                return
            keys.press("Tab")
        raise AssertionError(f"the tabulator never comes to {identity}")

    page.locator("#process option").first.wait_for(state="attached")
    go_to("area-text")
    keys.type("175.7, -40.1, 175.9, -39.9")
    keys.press("Enter")
    assert page.locator("#area-said").inner_text().startswith("Region of about")
    go_to("process")
    keys.type("Demo")
    assert page.input_value("#process") == "demo"
    page.locator("#area-text").focus()
    keys.press("Control+A")
    keys.type("nowhere")
    keys.press("Enter")
    assert "four numbers" in page.locator("#area-said").inner_text()
    still(page)
    page.locator("#draw-polygon").focus()
    keys.press("Enter")
    for arrow in ["ArrowRight", "ArrowDown", None]:
        keys.press("Space")
        if arrow:
            keys.press(arrow)
            page.wait_for_timeout(600)
    keys.press("Enter")
    assert page.locator("#drawing").is_hidden()
    assert page.locator("#area-said").inner_text().startswith("Region of about")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")]
            .filter((e) => !(e.labels?.length || e.ariaLabel || e.title || e.textContent.trim())).map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_on_a_phone(site, visit, done):
    page = visit(path=f"#job={done}", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.locator("#legend").wait_for()
    still(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#map").bounding_box()["height"] > 250
    assert len(np.unique(picture(page).reshape(-1, 3), axis=0)) > 100
    box = page.locator("#map").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#polygon").wait_for()
    small = page.evaluate(
        """() => [...document.querySelectorAll("#panel button")]
            .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40).map((e) => e.textContent)"""
    )
    assert small == []


@pytest.mark.parametrize("width", [360, 1280])
def test_labels_of_degrees_keep_clear_of_each_other(site, visit, width):
    """Of the whole Earth, of a country across the equator and the first meridian, of a field."""
    page = visit(viewport={"width": width, "height": 740})
    page.locator("#process option").first.wait_for(state="attached")
    for box in (None, "-3.7, -2.2, 4.1, 5.3", "175.801, -39.9702, 175.8097, -39.9655"):
        if box:
            page.fill("#area-text", box)
            page.click("#area-form button")
        still(page)
        rects = page.evaluate(
            """() => [...document.querySelectorAll("#map .degrees span, #map .maplibregl-ctrl-scale")]
                .map((e) => [e.className, e.getBoundingClientRect()])
                .map(([kind, r]) => [kind, r.left, r.top, r.right, r.bottom])"""
        )
        kinds = Counter(kind for kind, *_ in rects)
        assert kinds["meridian"] >= (2 if width > 1000 else 1), rects
        assert kinds["parallel"] >= 2, rects
        view = page.locator("#map").bounding_box()
        for number, (_, left, top, right, bottom) in enumerate(rects):
            assert left >= view["x"]
            assert top >= view["y"]
            for _, x0, y0, x1, y1 in rects[:number]:
                assert right <= x0 or x1 <= left or bottom <= y0 or y1 <= top, (box, rects)


@pytest.mark.parametrize("width", [360, 1280])
def test_a_map_that_is_opened_is_in_sight(visit, done, width):
    page = visit(path=f"#job={done}", viewport={"width": width, "height": 740})
    page.locator("#legend").wait_for()
    seen = page.evaluate(
        "(e => e.top >= 0 && e.bottom <= innerHeight)(document.querySelector('#job h3').getBoundingClientRect())"
    )
    assert seen
    page.locator("#job").get_by_text("Close").click()
    page.locator("#area-title").scroll_into_view_if_needed()
    page.locator(f"[data-job='{done}']").click()
    page.locator("#legend").wait_for()
    assert page.evaluate("document.querySelector('#legend').getBoundingClientRect().top < innerHeight")


def test_prompts_are_lines_whose_commas_are_theirs_and_examples_are_geojson(visit):
    page, asked = visit(), []

    def answer(route):
        asked.append(json.loads(route.request.post_data)["inputs"])
        route.fulfill(json={"km2": 1, "notes": [HOSTILE]})

    page.locator("#run:enabled").wait_for()
    assert page.input_value("#process") == "landcover", "as `geoseg run`"
    page.route("**/plan", answer)
    page.select_option("#process", "prompt")
    page.fill("#input-prompt", "forest, trees\n river \n\n")
    page.get_by_text("More inputs").click()
    for text in (json.dumps(REGION), "examples.geojson"):
        page.fill("#input-example", text)
        page.click("#plan")
        page.locator("#plan-table").wait_for()
    assert [one["prompt"] for one in asked] == [["forest, trees", "river"]] * 2
    assert [one["example"] for one in asked] == [REGION, "examples.geojson"]
    assert page.locator("#plan-notes").inner_text() == HOSTILE, "what the plan warns of is told before the map is made"


def test_two_pictures_are_compared(visit, done):
    page = visit(path=f"#job={done}")
    left, right = swiped(page)
    assert (np.abs(left - right).max(axis=-1) > 30).mean() > 0.5
    page.locator("#compare").click()
    assert page.locator("#swipe").is_hidden()


def test_change_from_two_dates_to_before_and_after(site, visit):
    page = visit()
    page.select_option("#process", "change")
    west, south, east, north = site.region
    page.fill("#area-text", f"{west}, {south}, {east}, {north}")
    page.click("#area-form button")
    days = (("before", "2021-12-01", "2022-02-28"), ("after", "2023-12-01", "2023-12-31"))
    for name, first, last in days:
        page.fill(f"#input-{name}", first)
        page.fill(f"#input-{name}-end", last)
    assert page.locator("#input-datetime").is_hidden(), "what the workflow does not look at is folded away"
    page.get_by_text("More inputs").click()
    page.fill("#input-catalog", str(site.service.settings.demo / "catalog.json"))
    page.click("#run")
    page.locator("#legend").wait_for()
    assert "change" in page.locator("#legend").inner_text().lower()
    left, right = swiped(page)
    assert [page.locator(f"#swipe-{side}").inner_text() for side in ("left", "right")] == ["Before", "After"]
    assert (np.abs(left - right).max(axis=-1) > 10).mean() > 0.3


def test_what_was_typed_stays_when_an_older_answer_comes_late(site, visit):
    page, held = visit(), []
    page.select_option("#process", "demo")
    page.locator("#run:enabled").wait_for()
    page.route("**/processes/change", lambda asked: held.append(asked))  # noqa: PLW0108  # a bound method of a list takes no mark
    for process in ("change", "demo", "change"):
        with page.expect_request(f"**/processes/{process}"):
            page.select_option("#process", process)
    assert page.locator("#run").is_disabled(), "the fields of what was chosen are not there yet"
    earlier, later = held
    later.continue_()
    page.fill("#input-before", "2021-12-01")
    with page.expect_response("**/processes/change"):
        earlier.continue_()
    still(page)
    assert page.locator("#input-before").input_value() == "2021-12-01"


def swiped(page):
    """The middle of the map with all of the left picture, and with all of the right one."""
    page.locator("#compare").click()
    page.locator("#swipe").wait_for()
    page.wait_for_timeout(500)
    still(page)
    cut = []
    for percent in (100, 0):
        page.locator("#swipe-at").fill(str(percent))
        page.wait_for_timeout(200)
        shot = page.locator("#view").screenshot()
        cut.append(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int))
    height, width, _ = cut[0].shape
    part = np.s_[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    return cut[0][part], cut[1][part]


REGION = {"type": "Polygon", "coordinates": [[[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]]}


def test_a_region_comes_in_by_a_file_that_is_dropped_or_opened(visit, tmp_path):
    page = visit()
    page.locator("#process option").first.wait_for(state="attached")
    drop = """(text) => {
        const files = new DataTransfer();
        files.items.add(new File([text], "region.geojson", { type: "application/geo+json" }));
        for (const name of ["dragover", "drop"]) {
            const event = new DragEvent(name, { dataTransfer: files, bubbles: true, cancelable: true });
            document.querySelector("#map").dispatchEvent(event);
            if (!event.defaultPrevented) throw new Error(`${name} is left to the browser`);
        }
    }"""
    page.evaluate(
        drop, json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": REGION}]})
    )
    said = page.locator("#area-said")
    said.get_by_text("Region of about 42").wait_for()
    assert page.locator("#drop").is_hidden()
    page.evaluate(drop, '{"type": "Point", "coordinates": [9, 47]}')
    said.get_by_text("no polygon").wait_for()
    (tmp_path / "region.json").write_text(json.dumps(REGION))
    page.set_input_files("#area-file", tmp_path / "region.json")
    said.get_by_text("Region of about 42").wait_for()
    page.click("#area-clear")
    assert said.inner_text() == "No region yet."


@pytest.fixture
def basemap():
    """A host of tiles of one colour on loopback: the template of their address."""
    body = io.BytesIO()
    Image.new("RGB", (256, 256), (12, 140, 60)).save(body, "PNG")

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self):  # the name that the base class calls
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(body.getvalue())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Tiles) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_basemap_that_the_operator_names_lies_below_everything(site, visit, done, basemap):
    changes = {"basemap": basemap + "{z}/{x}/{y}.png", "basemap_credit": "Example credit"}
    url, _, end = serving(site.service.settings.model_copy(update=changes))
    try:
        page = visit(url, f"#job={done}", also=(basemap,))
        page.locator("#legend").wait_for()
        page.locator("input[name=overlay][value=none]").check()
        still(page)
        seen = Counter(map(tuple, picture(page).reshape(-1, 3).tolist()))
        assert seen[12, 140, 60] > 10_000
        assert len(seen) > 100, "and the map's own imagery above it"
        assert "Example credit" in page.locator(".maplibregl-ctrl-attrib").text_content()
        page.goto("about:blank")  # a page that still asks would miss the server
    finally:
        end()


@pytest.fixture
def hostile_site(site, done, tmp_path):
    """A service, without a worker, with one finished map whose classes, columns and notes are markup."""
    settings = site.service.settings.model_copy(update={"data": tmp_path / "data"})
    url, service, end = serving(settings)
    job = str(uuid.uuid4())
    before = site.service.jobs.get(done)
    service.jobs.add(
        NewJob(job, "demo", "key", "", before.request, before.spec), most_queued=9, in_flight=9, km2_per_day=1e9
    )
    folder = settings.results / job
    shutil.copytree(site.service.settings.results / done, folder)
    report = json.loads((folder / "report.json").read_text())
    report["classes"] = [{**one, "name": HOSTILE, "description": HOSTILE} for one in report["classes"]]
    report["notes"] = [HOSTILE]
    (folder / "report.json").write_text(json.dumps(report))
    table = pq.ParquetFile(folder / "polygons.parquet").read()
    names = pa.array([HOSTILE] * table.num_rows, pa.string())
    hostile = table.set_column(table.schema.get_field_index("name"), "name", names)
    pq.write_table(hostile.replace_schema_metadata(table.schema.metadata), folder / "polygons.parquet")
    assert service.jobs.finish(service.jobs.claim("test"), "successful", None, None)
    yield url, f"#job={job}"
    end()


def test_names_with_markup_are_text(hostile_site, visit):
    """Whatever a model, a plug-in or a file calls things."""
    page = visit(*hostile_site)
    page.locator("#legend").wait_for()
    still(page)
    assert HOSTILE in page.locator("#legend").inner_text()
    page.get_by_text("What to know").click()
    assert HOSTILE in page.locator("#job").inner_text()
    page.locator("#middle").click()
    page.locator("#polygon table").wait_for()
    assert HOSTILE in page.locator("#polygon").inner_text()
    assert page.locator("#panel img, #polygon img").count() == 0
    assert page.title() == "geoseg"


def test_with_keys_the_page_asks_for_one(site, visit, done):
    settings = site.service.settings.model_copy(update={"keys": True})
    url, service, end = serving(settings)
    try:
        key = service.keys.add("a test", ("admin",))
        page = visit(url)
        page.locator("#key-text").fill(key)
        page.locator("#key button").click()
        page.locator(f"[data-job='{done}']").click()
        page.locator("#legend").wait_for()
        still(page)
        assert len(np.unique(picture(page).reshape(-1, 3), axis=0)) > 100  # tiles came with the key
        assert key not in page.url
        page.reload()
        page.locator("#legend").wait_for()
        page.goto("about:blank")  # a page that still asks would miss the server
    finally:
        end()


def test_a_checkout_without_the_library_says_so(visit, monkeypatch, tmp_path):
    monkeypatch.setattr(page_routes, "_LIBRARY", Path(tmp_path / "none.mjs"))
    page = visit()
    page.locator("#notice").wait_for()
    assert "make page" in page.locator("#notice").inner_text()


def test_the_policy_lets_in_no_other_host_but_the_basemap_that_was_named(site):
    answer = httpx.get(site.url, headers={"Accept": "text/html"})
    assert answer.headers["content-security-policy"] == policy("")
    assert "unsafe" not in policy("")
    assert "http" not in policy("")
    assert policy("https://tiles.example/{z}/{x}/{y}.png").count("https://tiles.example") == 2
    assert "text/javascript" in httpx.get(f"{site.url}page/vendor/maplibre-gl.mjs").headers["content-type"]
    assert httpx.get(f"{site.url}page/%2e%2e/app.py").status_code == 404
