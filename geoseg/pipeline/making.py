"""From a prepared job to what its tiles are made by: what is read, and what runs on it."""

from __future__ import annotations

from geoseg.cluster import ModelLoader
from geoseg.load import KeptBlocks, Rasters
from geoseg.machine import usable_cores
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.sizes import kept_layers
from geoseg.work import Recipe


def recipe_of(prepared: Prepared) -> Recipe:
    """What all tiles of a job share."""
    budget = prepared.budget
    cache_bytes = budget.gdal_cache_bytes - prepared.remote.cache_bytes
    kept = KeptBlocks(cache_bytes * 3 // 4, prepared.chips.overlap_px)
    return Recipe(
        coverage=prepared.coverage,
        chips=prepared.chips,
        key_parts=prepared.key_parts,
        facts=prepared.asset_facts,
        strip_bytes=budget.strip_bytes,
        read_threads=usable_cores(),
        gdal_cache_bytes=cache_bytes // 4,
        rasters=Rasters(prepared.remote, prepared.asset_facts, kept),
        later=None if prepared.later is None else prepared.later.coverage,
        moved=prepared.moved,
    )


def loader_of(prepared: Prepared, recipe: Recipe, *, keeps_scores: bool = False) -> ModelLoader:
    """How the network of a job is loaded; with ``keeps_scores`` as ``geoseg.predict.Predictor``."""
    return ModelLoader(
        prepared.model,
        recipe.chips,
        prepared.backend,
        prepared.pixel_m,
        prepared.key_parts.threads,
        kept_layers(prepared.spec),
        prepared.settings.allow_pickle,
        keeps_scores,
        prepared.legend,
        prepared.words,
        prepared.settings.store or str(prepared.settings.cache / "tiles"),
        prepared.settings.max_features,
        prepared.detector,
        () if prepared.sets is None else prepared.sets.least,
    )
