"""Models: a folder becomes a network and its facts. Logits do not leave this room.

``ModelSpec``, ``resolve`` and ``list_models`` need no torch; ``geoseg.models.network`` imports it.
"""

from geoseg.models.folder import ModelFolder
from geoseg.models.registry import list_models, resolve
from geoseg.models.spec import ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import Step

__all__ = ["ClassInfo", "ModelFolder", "ModelSpec", "Step", "WeightsRef", "list_models", "resolve"]
