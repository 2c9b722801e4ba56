"""Generated satellite scenes and a UAV flight, with truth: what ``geoseg demo`` writes and tests run on.

``write_demo`` writes files; ``landscape``, ``scenes`` and ``uav`` make the same things in memory, for training. This
room reads nothing and knows no other room.
"""

from __future__ import annotations

from geoseg.demo.catalog import DemoCatalog, write_demo
from geoseg.demo.classes import LANDCOVER, UAV, DemoClass

__all__ = ["LANDCOVER", "UAV", "DemoCatalog", "DemoClass", "write_demo"]
