"""The class tables of the generated scenes: what their truth rasters say, as data."""

from __future__ import annotations

from dataclasses import dataclass

NODATA = 255


@dataclass(frozen=True, slots=True)
class DemoClass:
    """One class of a truth raster.

    Attributes:
        index: Pixel value, from 0 without gaps.
        name: Short name.
        colour: Red, green, blue, 0 to 255 each.
        description: What belongs to it.
    """

    index: int
    name: str
    colour: tuple[int, int, int]
    description: str


LANDCOVER: tuple[DemoClass, ...] = (
    DemoClass(0, "water", (65, 120, 190), "Rivers and lakes"),
    DemoClass(1, "forest", (30, 95, 45), "Closed stands of trees"),
    DemoClass(2, "grassland", (150, 190, 95), "Pasture and hill grass, without tillage rows"),
    DemoClass(3, "cropland", (230, 200, 95), "Tilled fields in any state: dense, ripening, sown or bare"),
    DemoClass(4, "built-up", (200, 60, 70), "Settlements with their gardens and streets, and roads between them"),
    DemoClass(5, "gravel", (175, 170, 160), "Gravel bars beside rivers"),
    DemoClass(6, "landslide", (145, 90, 50), "Bare landslide scars on slopes"),
)
WATER, FOREST, GRASSLAND, CROPLAND, BUILT_UP, GRAVEL, LANDSLIDE = range(7)

CHANGE: tuple[DemoClass, ...] = (
    DemoClass(0, "no change", (232, 232, 228), "Land as it was"),
    DemoClass(1, "clearing", (225, 150, 60), "Forest that became grassland"),
    DemoClass(2, "new landslide", (145, 90, 50), "Forest or grassland that slid"),
    DemoClass(3, "new built-up", (200, 60, 70), "Grassland or cropland that was built on"),
)
CLEARING, NEW_LANDSLIDE, NEW_BUILT_UP = 1, 2, 3

UAV: tuple[DemoClass, ...] = (
    DemoClass(0, "trees", (30, 95, 45), "Crowns of trees and hedges"),
    DemoClass(1, "grass", (150, 190, 95), "Lawn and meadow"),
    DemoClass(2, "bare ground", (175, 140, 100), "Soil, yards and paths"),
    DemoClass(3, "road", (110, 110, 115), "Sealed road with its markings"),
    DemoClass(4, "roof", (200, 60, 70), "Roofs of buildings"),
    DemoClass(5, "water", (65, 120, 190), "Ponds"),
)
UAV_TREES, UAV_GRASS, UAV_BARE, UAV_ROAD, UAV_ROOF, UAV_WATER = range(6)
