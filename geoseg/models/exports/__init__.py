"""Networks that run outside torch: made from a torch module once, held against it, and found again by their model.

``record`` and ``openvino_network`` need no torch; ``make`` imports it.
"""

from geoseg.models.exports.record import (
    Agreement,
    Export,
    Profile,
    find_export,
    has_onnxruntime,
    has_openvino,
    has_torch,
)

__all__ = ["Agreement", "Export", "Profile", "find_export", "has_onnxruntime", "has_openvino", "has_torch"]
