"""Sources to measure on: one file, repeated to any size."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import rasterio


def write_repeated(path: Path, tile: Path, side_px: int) -> Path:
    """A virtual raster of ``side_px`` squared that repeats one file: large, and it takes no space on disk."""
    with rasterio.open(tile) as file:
        size, names, transform, crs = file.width, file.descriptions, file.transform, file.crs
    lines = [f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}">', f"<SRS>{crs.to_string()}</SRS>"]
    lines.append(f"<GeoTransform>{', '.join(map(repr, transform.to_gdal()))}</GeoTransform>")
    for band, name in enumerate(names, start=1):
        lines.append(f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description>')
        lines.append("<NoDataValue>0</NoDataValue>")
        for row in range(0, side_px, size):
            for col in range(0, side_px, size):
                high, wide = min(size, side_px - row), min(size, side_px - col)
                lines.append(
                    f"<SimpleSource><SourceFilename relativeToVRT={quoteattr('1')}>{tile.name}</SourceFilename>"
                    f"<SourceBand>{band}</SourceBand>"
                    f'<SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{high}"/>'
                    f'<DstRect xOff="{col}" yOff="{row}" xSize="{wide}" ySize="{high}"/></SimpleSource>'
                )
        lines.append("</VRTRasterBand>")
    path.write_text("\n".join([*lines, "</VRTDataset>"]))
    return path
