"""From a prepared job to what its tiles are made by: what is read, and what runs on it."""

from __future__ import annotations

from geoseg.cluster import ModelLoader
from geoseg.machine import usable_cores
from geoseg.pipeline.prepare import Prepared
from geoseg.tiles import ChipPlan
from geoseg.work import Recipe


def recipe_of(prepared: Prepared) -> Recipe:
    """What all tiles of a job share."""
    model, budget = prepared.model.spec, prepared.budget
    return Recipe(
        coverage=prepared.coverage,
        chips=ChipPlan(model.radius_px, model.stride_px, model.chip_px, model.chip_step_px, budget.chip_cells),
        key_parts=prepared.key_parts,
        facts=prepared.asset_facts,
        strip_bytes=budget.strip_bytes,
        read_threads=usable_cores(),
        gdal_cache_bytes=budget.gdal_cache_bytes - prepared.remote.cache_bytes,
        rasters=prepared.rasters,
    )


def loader_of(prepared: Prepared, recipe: Recipe, *, keeps_scores: bool = False) -> ModelLoader:
    """How the network of a job is loaded; with ``keeps_scores`` as ``geoseg.predict.Predictor``."""
    return ModelLoader(
        prepared.model,
        recipe.chips,
        prepared.backend,
        prepared.pixel_m,
        prepared.key_parts.threads,
        tuple(prepared.spec.layers),
        prepared.settings.allow_pickle,
        keeps_scores,
        prepared.legend,
    )
