"""Plug-ins are found by metadata, imported when somebody asks for them, and named when they fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pystac
import pytest
import torch
import worlds

import geoseg
from geoseg import plugins
from geoseg.cli import main
from geoseg.errors import ModelSpecError, NothingToDoError, PluginError, RequestError
from geoseg.heads import HeadOutput, SemanticHead, make_head, plugin_of_head
from geoseg.keys import KeyParts
from geoseg.models import ModelSpec
from geoseg.models.network import load_network
from geoseg.scenes import SENSORS
from geoseg.scenes.catalogs import find_items
from geoseg.scenes.recognise import sensor_named, sensor_names, sensor_of
from geoseg.spec import JobSpec

SENSOR = "from geoseg.scenes import Sensor\nSENSOR = Sensor({name!r}, 'A camera', {quantity!r}, {{}}, scale=2.0)\n"
# Three dots stand for what a head does with the chips.
HEAD = (
    "from geoseg.heads import HeadOutput\n"
    "class Head:\n"
    "    def __init__(self, network):\n"
    "        self.network, self.class_table = network, network.spec.classes\n"
    "    def __call__(self, chips):\n"
    "        scores = self.network.scores(chips.inputs['image'][:, 0], chips.valid)\n"
    "        ...\n"
)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution of one module on the path, without an installer."""

    def add(distribution: str, entries: dict[str, dict[str, str]], code: str = "", version: str = "1.0") -> Path:
        folder = tmp_path / f"{distribution}-{version}"
        module = distribution.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = [f"[{group}]\n" + "".join(f"{n} = {t}\n" for n, t in named.items()) for group, named in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(str(folder))
        added.append(module)
        return folder

    added: list[str] = []
    yield add
    for module in added:
        sys.modules.pop(module, None)


def sensor_code(name: str = "cam", quantity: str = "digital-number") -> str:
    return SENSOR.format(name=name, quantity=quantity)


def test_a_sensor_is_found_by_its_name_and_says_who_adds_it(install):
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, sensor_code())
    assert sensor_names() == (*SENSORS, "cam")
    assert "cam_geoseg" not in sys.modules, "names are listed without an import"
    sensor = sensor_named("cam")
    assert (sensor.scale, sensor.plugin.distribution, sensor.plugin.version) == (2.0, "cam-geoseg", "1.0")
    with pytest.raises(RequestError, match="rgbn, raster, cam"):
        sensor_named("kam")


def test_no_item_is_ever_taken_for_a_plug_ins(install):
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR", "naip": "cam_geoseg:SENSOR"}}, "1 / 0")
    item = pystac.Item("an-item", None, None, None, {"start_datetime": "2022-01-01T00:00:00Z",
                       "end_datetime": "2022-01-01T00:00:00Z"}, collection="cam")  # fmt: skip
    with pytest.raises(RequestError, match="raster, cam"):
        sensor_of(item, None)
    item.collection_id = "naip"
    assert sensor_of(item, None) is SENSORS["naip"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("OTHER = 1", "has no attribute 'SENSOR'"),
        ("SENSOR = 'a camera'", "it is 'a camera'"),
        (sensor_code("another"), "Sensor named cam"),
        (sensor_code(quantity="beauty"), "one of reflectance"),
    ],
)
def test_a_broken_sensor_names_its_distribution(install, code, words):
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, code)
    with pytest.raises(PluginError) as refused:
        sensor_named("cam")
    assert refused.value.exit_code == 2
    assert words in f"{refused.value.given} {refused.value.expected}"
    assert "cam-geoseg 1.0" in refused.value.given
    assert "cam-geoseg" in refused.value.todo
    assert len(str(refused.value).splitlines()) == 3


def test_two_of_one_name_are_refused_and_neither_is_imported(install):
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, "1 / 0")
    install("other-cam", {plugins.SENSORS: {"cam": "other_cam:SENSOR", "rgb": "other_cam:SENSOR"}}, "1 / 0")
    with pytest.raises(PluginError) as refused:
        sensor_named("cam")
    assert "cam-geoseg 1.0" in refused.value.given
    assert "other-cam 1.0" in refused.value.given
    with pytest.raises(PluginError, match=r"the sensor rgb, which geoseg itself and other-cam 1\.0"):
        sensor_named("rgb")
    assert sensor_named("rgbn") is SENSORS["rgbn"]


def test_a_distribution_without_a_name_is_named_as_such(install):
    folder = install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, "1 / 0")
    (folder / "cam_geoseg-1.0.dist-info" / "METADATA").write_text("")
    with pytest.raises(PluginError, match="without a name"):
        sensor_named("cam")


def test_a_stranger_whose_entry_points_cannot_be_read_stops_nobody(install, caplog):
    folder = install("stranger", {plugins.SENSORS: {"odd": "stranger:SENSOR"}})
    (folder / "stranger-1.0.dist-info" / "entry_points.txt").write_text("[geoseg.sensors]\nno equals sign\n")
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, sensor_code())
    assert sensor_named("cam").name == "cam"
    assert "stranger" in caplog.text


def test_the_first_of_two_versions_on_the_path_counts(install):
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, sensor_code())
    install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}}, sensor_code(), version="2.0")
    assert sensor_named("cam").plugin.version == "2.0"


def test_what_nobody_asks_for_is_never_imported(install, tmp_path):
    bomb = {"bomb": "bomb_geoseg:BOMB"}
    install("bomb-geoseg", {plugins.SENSORS: bomb, plugins.HEADS: bomb, plugins.CATALOGS: {"bomb://": "bomb_geoseg:B"}},
            "raise RuntimeError('imported')")  # fmt: skip
    scene = worlds.write_raster(
        tmp_path / "scene.tif", worlds.landscape((40, 40), 3).astype("uint8"), names=worlds.BANDS
    )
    model = worlds.finite_model(tmp_path / "model")
    geoseg.run(scenes=(str(scene),), model=str(model.path), out=tmp_path / "map", cache=tmp_path / "cache")
    assert "bomb_geoseg" not in sys.modules


def test_help_imports_no_plug_in(install, tmp_path):
    folder = install("bomb-geoseg", {plugins.SENSORS: {"bomb": "bomb_geoseg:BOMB"}}, "raise SystemExit(9)")
    code = "import sys; import geoseg.cli; geoseg.cli.main(['run', '--help'])"
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
                          check=False, capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr


def head_model(tmp_path: Path, head: str = "twist", **settings: object) -> ModelSpec:
    return worlds.finite_model(tmp_path / "model", head=head, head_settings=settings)


def test_a_model_names_its_head_and_settings(make_head_spec):
    spec = make_head_spec(head="twist", head_settings={"limit": 0.5, "names": ["a"]})
    back = ModelSpec.from_item(spec.to_item())
    assert (back.head, back.head_settings, back.digest) == ("twist", spec.head_settings, spec.digest)
    assert "geoseg.head" not in str(make_head_spec().to_item())
    digests = {make_head_spec(**facts).digest for facts in (
        {}, {"head": "twist"}, {"head": "turn"}, {"head": "twist", "head_settings": {"limit": 1}},
    )}  # fmt: skip
    assert len(digests) == 4
    with pytest.raises(ModelSpecError, match="semantic"):
        make_head_spec(head_settings={"limit": 1})


@pytest.fixture(scope="module")
def make_head_spec(tmp_path_factory):
    spec = worlds.finite_model(tmp_path_factory.mktemp("spec")).spec
    return lambda **facts: geoseg.models.ModelSpec(**{**vars_of(spec), **facts})


def vars_of(spec: ModelSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in ModelSpec.__dataclass_fields__}


def chips_of(network) -> object:
    from geoseg.heads import Chips

    values = torch.full((1, 1, 3, 16, 16), 100.0)
    return Chips({"image": values}, torch.ones(1, 16, 16, dtype=torch.bool))


def test_a_model_without_a_head_has_geosegs_own(tmp_path):
    network = load_network(worlds.finite_model(tmp_path / "model"))
    assert plugin_of_head(network.spec) is None
    assert isinstance(make_head(network), SemanticHead)


def test_the_head_of_a_plug_in_answers(install, tmp_path):
    code = HEAD.replace("...", "return HeadOutput(scores.flip(1))")
    install("twist-geoseg", {plugins.HEADS: {"twist": "twist_geoseg:Head"}}, code)
    network = load_network(head_model(tmp_path))
    chips, twisted = chips_of(network), make_head(network)
    assert torch.equal(twisted(chips).scores, SemanticHead(network)(chips).scores.flip(1))
    assert twisted.class_table == network.spec.classes


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def Head(network): return network.nothing", "AttributeError"),
        (HEAD.replace("network.spec.classes", "network.spec.classes[:2]"), "classes class 0, class 1"),
    ],
)
def test_a_head_that_cannot_be_built_names_its_distribution(install, tmp_path, code, words):
    install("twist-geoseg", {plugins.HEADS: {"twist": "twist_geoseg:Head"}}, code)
    with pytest.raises(PluginError, match=words) as refused:
        make_head(load_network(head_model(tmp_path)))
    assert "twist-geoseg 1.0" in refused.value.given


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("return scores", "no HeadOutput"),
        ("return HeadOutput(scores * 2)", "probabilities"),
        ("return HeadOutput(-scores)", "probabilities"),
        ("return HeadOutput(scores @ 3)", "TypeError"),
    ],
)
def test_a_head_that_answers_wrong_names_its_distribution(install, tmp_path, answer, words):
    install("twist-geoseg", {plugins.HEADS: {"twist": "twist_geoseg:Head"}}, HEAD.replace("...", answer))
    network = load_network(head_model(tmp_path))
    with pytest.raises(PluginError, match=words) as refused:
        make_head(network)(chips_of(network))
    assert "twist-geoseg 1.0" in refused.value.given


def test_what_a_head_says_of_chips_without_a_number_is_no_fault(install, tmp_path):
    code = HEAD.replace("...", "return HeadOutput(scores * float('nan'))")
    install("twist-geoseg", {plugins.HEADS: {"twist": "twist_geoseg:Head"}}, code)
    network = load_network(head_model(tmp_path))
    assert isinstance(make_head(network)(chips_of(network)), HeadOutput)


def test_an_unknown_head_is_refused_before_anything_is_made(install, tmp_path):
    install("twist-geoseg", {plugins.HEADS: {"twist": "twist_geoseg:Head"}}, "1 / 0")
    model = head_model(tmp_path, "twost")
    with pytest.raises(RequestError, match="semantic, from-to, words, twist"):
        geoseg.run(scenes=("none.tif",), model=str(model.path), out=tmp_path / "map", cache=tmp_path / "cache")
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize(
    ("code", "words", "lines"),
    [
        (HEAD.replace("...", "1 / 0"), ["--sensor", "rgb"], "ZeroDivisionError"),
        ("1 / 0", ["--sensor", "twist"], "sensor"),
    ],
    ids=["head", "sensor"],
)
def test_what_fails_in_a_run_ends_it_with_2_and_three_lines(install, tmp_path, capsys, code, words, lines):
    twist = {"twist": "twist_geoseg:Head"}
    install("twist-geoseg", {plugins.HEADS: twist, plugins.SENSORS: twist}, code)
    scene = worlds.write_raster(tmp_path / "s.tif", worlds.landscape((40, 40), 3).astype("uint8"), names=worlds.BANDS)
    model = head_model(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(
            ["run", "--scenes", str(scene), "--model", str(model.path), "--quiet", "--out", str(tmp_path / "m"), *words]
        )
    assert end.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["given", "expected", "to do"]
    assert "twist-geoseg 1.0" in said[0]
    assert lines in said[0]


def fingerprint() -> str:
    plugin = plugins.find_plugin(plugins.HEADS, "twist")
    assert plugin is not None
    return plugin.fingerprint


def test_another_version_or_another_text_of_a_plug_in_makes_other_tiles(install, monkeypatch):
    entries = {plugins.HEADS: {"twist": "twist_geoseg:Head"}}
    folder = install("twist-geoseg", entries, "A = 1")
    first = fingerprint()
    assert first == fingerprint()
    (folder / "twist_geoseg.py").write_text("A = 2")
    plugins._code_digest.cache_clear()
    second = fingerprint()
    install("twist-geoseg", entries, "A = 2", version="1.1")
    assert "1.1" in fingerprint()
    assert len({first, second, fingerprint()}) == 3
    assert "twist_geoseg" not in sys.modules


def test_the_key_of_a_tile_holds_the_head_and_the_sensor_of_a_plug_in(install, tmp_path):
    """Jobs without plug-ins keep the keys that they had."""
    from geoseg.pipeline import prepare
    from geoseg.settings import Settings

    for name in ("cam", "twist"):
        install(f"{name}-geoseg", {plugins.SENSORS: {name: f"{name}_geoseg:SENSOR"}, plugins.HEADS: {name: "x:y"}},
                sensor_code(name))  # fmt: skip
    scene = worlds.write_raster(tmp_path / "s.tif", worlds.landscape((40, 40), 3).astype("uint8"), names=worlds.BANDS)
    settings = Settings(cache=tmp_path / "cache")

    def key(head: str, **job: object) -> str:
        model = worlds.finite_model(tmp_path / head, head=head)
        spec = JobSpec.build(scenes=(str(scene),), model=str(model.path), scale=1.0, **job)
        made = prepare(spec, settings)
        assert isinstance(made.key_parts, KeyParts)
        return made.key_parts.key(made.tasks[0].tile, made.found.items, made.asset_facts)

    keys = [key("semantic", sensor="rgb"), key("semantic", sensor="cam"), key("semantic", sensor="twist")]
    keys += [key("cam", sensor="rgb"), key("twist", sensor="rgb")]
    assert len(set(keys)) == len(keys)
    folder = install("cam-geoseg", {plugins.SENSORS: {"cam": "cam_geoseg:SENSOR"}, plugins.HEADS: {"cam": "x:y"}},
                     version="2.0")  # fmt: skip
    sys.modules.pop("cam_geoseg")
    (folder / "cam_geoseg.py").write_text(sensor_code("cam"))
    assert key("semantic", sensor="cam") != keys[1]
    assert key("cam", sensor="rgb") != keys[3]
    assert key("semantic", sensor="rgb") == keys[0]


CATALOG = (
    "import datetime, pystac\n"
    "from geoseg.scenes.catalogs import Search\n"
    "def search(reference, question):\n"
    "    item = pystac.Item(reference, None, None, datetime.datetime(2022, 1, 1), {})\n"
    "    ...\n"
)
BOX = (9.0, 47.0, 9.1, 47.1)


@pytest.mark.parametrize("reference", ["toy://anything", "folder/things.TOY", "https://toy.example/api"])
def test_a_catalogue_is_opened_by_whose_name_it_begins_or_ends_with(install, reference):
    names = dict.fromkeys(["toy://", ".toy", "https://toy.example/"], "cat_geoseg:search")
    install("cat-geoseg", {plugins.CATALOGS: names}, CATALOG.replace("...", "return Search([item])"))
    assert [item.id for item in find_items(reference, None, BOX, None).items] == [reference]


def test_a_catalogue_of_a_plug_in_that_has_nothing_asks_nobody_else(install, tmp_path):
    code = CATALOG.replace("...", "return Search([])")
    install("cat-geoseg", {plugins.CATALOGS: {"toy://": "cat_geoseg:search"}}, code)
    model = worlds.finite_model(tmp_path / "model")
    with pytest.raises(NothingToDoError, match="toy://x"):
        geoseg.run(aoi=BOX, catalog="toy://x", model=str(model.path), out=tmp_path / "map", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("answer", "words"), [("return [item]", "it answers list"), ("raise OSError('gone')", "OSError: gone")]
)
def test_a_catalogue_that_fails_names_its_distribution(install, answer, words):
    install("cat-geoseg", {plugins.CATALOGS: {"toy://": "cat_geoseg:search"}}, CATALOG.replace("...", answer))
    with pytest.raises(PluginError, match=words) as refused:
        find_items("toy://x", None, BOX, None)
    assert "cat-geoseg 1.0" in refused.value.given


def test_no_plug_in_takes_all_servers_or_all_tables(install):
    install("cat-geoseg", {plugins.CATALOGS: dict.fromkeys(["https://", ".Parquet"], "cat_geoseg:search")})
    for reference in ("https://example.org/api", "items.parquet", "ITEMS.PARQUET"):
        with pytest.raises(PluginError, match="geoseg itself and cat-geoseg"):
            find_items(reference, None, BOX, None)
