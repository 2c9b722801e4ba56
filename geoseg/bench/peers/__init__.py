"""Other ways to run the same network over the same scene, each in a process of its own, side by side with geoseg.

A peer's script runs in the peers' own environment, where geoseg is only a folder on the path: it imports nothing of
geoseg but this package, and its peer by name, for peers are no dependencies.
"""
