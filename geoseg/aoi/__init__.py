"""The region that is asked for: any polygon file, a bounding box or GeoJSON, as longitude and latitude.

Owns reading and refusing regions. Knows nothing of grids and scenes.
"""

from geoseg.aoi.antimeridian import Bounds, bounds_round_the_globe, crosses, on_globe, split_bounds
from geoseg.aoi.region import AOI, Feature, box_in_words

__all__ = ["AOI", "Bounds", "Feature", "bounds_round_the_globe", "box_in_words", "crosses", "on_globe", "split_bounds"]
