"""The region that is asked for: any polygon file, a bounding box or GeoJSON, as longitude and latitude.

Owns reading and refusing regions. Knows nothing of grids and scenes.
"""

from geoseg.aoi.antimeridian import Bounds, split_bounds
from geoseg.aoi.region import AOI, Feature, box_in_words

__all__ = ["AOI", "Bounds", "Feature", "box_in_words", "split_bounds"]
