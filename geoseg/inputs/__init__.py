"""What the pixels say about themselves, against what their headers say, before a map is made of them."""

from geoseg.inputs.checksums import with_verified_files
from geoseg.inputs.filler import filler_warnings

__all__ = ["filler_warnings", "with_verified_files"]
