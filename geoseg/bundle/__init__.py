"""Bundles: what a machine without a network needs, in one folder or one ZIP file, every byte of it accounted for.

A bundle has models with their weights, a sample to try them on, licences, the versions of libraries, and a manifest
with the SHA-256 of every file.
"""

from geoseg.bundle.checking import check_bundle
from geoseg.bundle.manifest import BundledModel, Manifest
from geoseg.bundle.packing import bundle_name, make_bundle

__all__ = ["BundledModel", "Manifest", "bundle_name", "check_bundle", "make_bundle"]
