"""Heads: chips in, scores out. Tiles, store, polygons and service never learn which head ran."""

from geoseg.heads.base import Chips, Head, HeadOutput
from geoseg.heads.semantic import SemanticHead

__all__ = ["Chips", "Head", "HeadOutput", "SemanticHead"]
