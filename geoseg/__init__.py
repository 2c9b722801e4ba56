"""geoseg: satellite and UAV scenes to maps."""

__version__ = "0.1.0"
