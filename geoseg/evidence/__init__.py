"""Facts for each polygon of a landslide class, and rules that tell landslides from what looks like them.

Owns evidence: slope, relief, aspect, drop and runout from a DEM, shape and its lie to the fall line, the next water and
the land around it on the map, what plants lost between two dates. Written rules turn the facts into a calibrated
confidence and a verdict. It changes no pixel and no outline.
"""

from __future__ import annotations

from geoseg.evidence.dem import Dem, DemFile
from geoseg.evidence.facts import Candidate, Evidence, Facts, GreennessFacts, json_schema
from geoseg.evidence.gather import Gathering, Roles
from geoseg.evidence.rules import Rules, load_rules
from geoseg.evidence.vegetation import LossOfOutlines, ndvi_drop

__all__ = [
    "Candidate",
    "Dem",
    "DemFile",
    "Evidence",
    "Facts",
    "Gathering",
    "GreennessFacts",
    "LossOfOutlines",
    "Roles",
    "Rules",
    "json_schema",
    "load_rules",
    "ndvi_drop",
]
