"""Labelled imagery: what has pixels and, for each of them, a class or none. Read lazily, by window; no torch here.

``base`` has the values, ``config`` reads the ``data`` block of a configuration, every other module is a reader.
"""

from geoseg.labels.base import IGNORE, ClassName, Labelled, LabelSet

__all__ = ["IGNORE", "ClassName", "LabelSet", "Labelled"]
