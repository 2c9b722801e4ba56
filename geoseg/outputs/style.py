"""Styles for QGIS, which takes ``NAME.qml`` by itself with any file called ``NAME``.

``classes.qml`` shows the legend's names, which a colour table cannot hold; ``polygons.qml`` gives polygons of every
format the same colours, and lies inside a GeoPackage too; ``confidence.qml`` is a ramp.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.outputs.files import whole_file
from geoseg.outputs.legend import NODATA, ClassTable, colour_table, name_table, rgba

# From dark to light, so that it reads without colours too.
_RAMP = ((0, "#3b0f70"), (25, "#8c2981"), (50, "#de4968"), (75, "#fe9f6d"), (100, "#fcfdbf"))
_OUTLINE = "35,35,35,120"
_OUTLINE_MM = "0.1"


def raster_style(classes: ClassTable) -> str:
    """A style of the raster, with one entry per class, and one for failed pixels; nodata stays transparent.

    Raises:
        ValueError: If a colour is none.
    """
    root = _root()
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    palette = ET.SubElement(renderer, "colorPalette")
    names = name_table(classes)
    for value, colour in sorted(colour_table(classes).items()):
        rgba(colour)
        ET.SubElement(
            palette, "paletteEntry", value=str(value), color=colour, alpha="255", label=_printable(names[value])
        )
    return _text(root)


def polygon_style(classes: ClassTable) -> str:
    """A style of the polygons: one category per class, by the column ``class``.

    Raises:
        ValueError: If a colour is none.
    """
    root = _root()
    renderer = ET.SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr="class",
        symbollevels="0",
        enableorderby="0",
        forceraster="0",
    )
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for entry in sorted(classes, key=lambda one: one.index):
        number = str(entry.index)
        ET.SubElement(
            categories,
            "category",
            value=number,
            type="integer",
            symbol=number,
            label=_printable(entry.name),
            render="true",
        )
        symbol = ET.SubElement(symbols, "symbol", type="fill", name=number, alpha="1", clip_to_extent="1")
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"})
        facts = {
            "color": ",".join(map(str, rgba(entry.colour))),
            "style": "solid",
            "outline_color": _OUTLINE,
            "outline_style": "solid",
            "outline_width": _OUTLINE_MM,
            "outline_width_unit": "MM",
        }
        table = ET.SubElement(layer, "Option", type="Map")
        for name, value in facts.items():
            ET.SubElement(table, "Option", type="QString", name=name, value=value)
            ET.SubElement(layer, "prop", k=name, v=value)  # what versions before 3.26 read
    return _text(root)


def confidence_style() -> str:
    """A style of the confidence: a ramp from 0 to 100 percent; 255, where there is no class, is transparent."""
    root = _root()
    renderer = ET.SubElement(
        ET.SubElement(root, "pipe"),
        "rasterrenderer",
        type="singlebandpseudocolor",
        band="1",
        opacity="1",
        alphaBand="-1",
        nodataColor="",
        classificationMin="0",
        classificationMax="100",
    )
    values = ET.SubElement(ET.SubElement(renderer, "rasterTransparency"), "singleValuePixelList")
    ET.SubElement(values, "pixelListEntry", min=str(NODATA), max=str(NODATA), percentTransparent="100")
    ramp = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        clip="0",
        minimumValue="0",
        maximumValue="100",
    )
    for percent, colour in _RAMP:
        ET.SubElement(ramp, "item", value=str(percent), color=colour, label=f"{percent} %", alpha="255")
    return _text(root)


def write_style(path: Path, style: str) -> Path:
    """Writes a style.

    Args:
        path: The styled file's path with the ending ``.qml``.
        style: Its content.

    Raises:
        OutputError: If the file could not be written whole.
    """
    with whole_file(path) as temporary:
        temporary.write_text(style, encoding="utf-8")
    return path


def _root() -> ET.Element:
    return ET.Element("qgis", version="3.22", styleCategories="Symbology")


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """XML has no way to write control characters."""
    return "".join(character for character in text if character.isprintable())
