"""A file with a final name is whole."""

import errno
import hashlib
import os
from xml.etree import ElementTree as ET

import pytest

from geoseg.errors import OutputError
from geoseg.outputs.files import file_facts, remove_leftovers, whole_file
from geoseg.outputs.legend import rgba
from geoseg.outputs.style import confidence_style, polygon_style, raster_style, write_style


def test_a_file_appears_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_stays_as_it_was_when_the_block_fails(tmp_path):
    path = tmp_path / "a [1].txt"
    path.write_text("old")

    def stop():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            temporary.with_name(temporary.name + ".ovr.tmp").write_text("of a driver")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("code", "todo"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "writable")])
def test_refusal_of_the_system_names_path_and_room(tmp_path, code, todo):
    path = tmp_path / "a.tif"
    with pytest.raises(OutputError) as caught, whole_file(path, needed_bytes=1_234_567):
        raise OSError(code, os.strerror(code))
    assert str(path) in caught.value.given
    assert os.strerror(code) in caught.value.given
    assert "1,234,567 bytes" in caught.value.expected
    assert "bytes are free there" in caught.value.expected
    assert todo in caught.value.todo


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"), whole_file(tmp_path / "nowhere" / "a.txt") as temporary:
        temporary.write_text("x")


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path):
    keep = {tmp_path / name for name in ("classes.tif", ".hidden", "a.part-1")}
    for path in (*keep, tmp_path / ".classes.part-77-ab.tif", tmp_path / ".classes.part-77-ab.tif.ovr.tmp"):
        path.write_text("")
    assert len(remove_leftovers(tmp_path)) == 2
    assert set(tmp_path.iterdir()) == keep


def test_facts_are_length_and_checksum(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(content)
    facts = file_facts(tmp_path / "a")
    assert (facts.size_bytes, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_qgis_style_has_every_class(tmp_path, legend):
    root = ET.parse(write_style(tmp_path / "classes.qml", raster_style(legend))).getroot()
    entries = {int(e.get("value")): (e.get("label"), e.get("color")) for e in root.iter("paletteEntry")}
    assert {c.index: (c.name, c.colour) for c in legend}.items() <= entries.items()
    assert set(entries) == {c.index for c in legend} | {254}


def test_the_style_of_polygons_has_a_fill_for_every_class_and_no_other(legend):
    renderer = ET.fromstring(polygon_style(legend)).find("renderer-v2")
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class")
    fills = {symbol.get("name"): symbol for symbol in renderer.iter("symbol")}
    shown = {}
    for category in renderer.iter("category"):
        (colour,) = [o.get("value") for o in fills[category.get("symbol")].iter("Option") if o.get("name") == "color"]
        shown[int(category.get("value"))] = category.get("label"), colour
    assert shown == {c.index: (c.name, ",".join(map(str, rgba(c.colour)))) for c in legend}


def test_the_style_of_confidence_is_a_ramp_in_which_nothing_is_transparent(tmp_path):
    renderer = ET.parse(write_style(tmp_path / "confidence.qml", confidence_style())).find("pipe/rasterrenderer")
    assert renderer.get("type") == "singlebandpseudocolor"
    values = [int(step.get("value")) for step in renderer.iter("item")]
    assert (values[0], values[-1]) == (0, 100)
    assert values == sorted(values)
    lights = [sum(rgba(step.get("color"))[:3]) for step in renderer.iter("item")]
    assert lights == sorted(lights), "lighter is surer, without colours too"
    (entry,) = renderer.iter("pixelListEntry")
    assert (entry.get("min"), entry.get("max"), entry.get("percentTransparent")) == ("255", "255", "100")


@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", "#12345g", "112233", "#112233\n"])
def test_only_colours_are_colours(colour):
    with pytest.raises(ValueError, match="colour"):
        rgba(colour)
