"""The files a run leaves: rasters, polygons, tables, the STAC item and the report.

Every file is written under a temporary name beside its final one, read back, and renamed, so that a file with a final
name is whole. Rasters and polygons are streamed; nothing here holds the map in memory. Nothing here computes a class.
"""
