"""Heads: chips in, scores out. Tiles, store, polygons and service never learn which head ran.

Importing this room loads no torch: which head a model names is asked before anything is computed.
"""

from geoseg.heads.base import Chips, Finished, FinishingHead, Head, HeadOutput
from geoseg.heads.choice import head_names, make_head, plugin_of_head
from geoseg.heads.semantic import SemanticHead

__all__ = [
    "Chips",
    "Finished",
    "FinishingHead",
    "Head",
    "HeadOutput",
    "SemanticHead",
    "head_names",
    "make_head",
    "plugin_of_head",
]
