"""``classes.qml``: QGIS loads it with ``classes.tif`` and shows the legend's names, which a colour table cannot hold."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from geoseg.outputs.files import whole_file
from geoseg.outputs.legend import ClassTable, colour_table, name_table, rgba


def write_qgis_style(path: Path, classes: ClassTable) -> Path:
    """Writes a style with one entry per class, and one for failed pixels; nodata stays transparent.

    Args:
        path: The raster's path with the ending ``.qml``.
        classes: The class table.

    Raises:
        OutputError: If the file could not be written whole.
        ValueError: If a colour is none.
    """
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
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
    ET.indent(root)
    with whole_file(path) as temporary:
        ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
    return path


def _printable(text: str) -> str:
    """XML has no way to write control characters."""
    return "".join(character for character in text if character.isprintable())
