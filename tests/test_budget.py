"""Memory as a number: what is planned fits what was given, more never plans less, and too little names what is enough."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from geoseg.budget import Appetite, Budget, appetite_of, plan_budget, share_budget, share_of_worker
from geoseg.errors import MemoryTooSmallError
from geoseg.settings import parse_size

BASE = 800_000_000
GIGABYTE = 10**9


@st.composite
def appetites(draw):
    stride = draw(st.sampled_from([1, 8, 32]))
    cell = stride * draw(st.integers(1, 16))
    chip = draw(st.none() | st.sampled_from([64, 256, 512, 1024]))
    return appetite_of(
        draw(st.integers(1, 13)),
        draw(st.integers(2, 40)),
        cell,
        draw(st.tuples(*[st.integers(0, 400)] * 4)),
        stride,
        draw(st.floats(0, 20_000)),
        chip,
        BASE,
    )


MEMORY = st.integers(900_000_000, 64_000_000_000)
CORES = st.integers(1, 64)
WORKERS = st.integers(2, 8)
CHIPS = st.sampled_from([256, 1024, 2048])


def planned_bytes(budget: Budget, appetite: Appetite) -> float:
    """Everything at its largest at the same time, from the numbers that are documented."""
    margin = 2 * appetite.margin_px
    chip = appetite.chip_px or budget.chip_cells * appetite.cell_px + margin
    tile = budget.tile_cells * appetite.cell_px
    forward = chip**2 * (appetite.workspace_bytes_per_px + 4 * (appetite.bands + appetite.classes))
    pixels = (tile + margin) ** 2 * (12 * appetite.bands + 16)
    sums = tile**2 * 4 * (appetite.classes + 1) if appetite.chip_px else 0
    standing = appetite.standing_bytes + budget.gdal_cache_bytes
    return standing + budget.passes_at_once * forward + budget.tiles_in_flight * (pixels + sums)


def least_of(refusal: MemoryTooSmallError) -> int:
    match = re.search(r"at least ([\d.]+ GB)", refusal.expected)
    assert match is not None
    return parse_size(match[1])


@pytest.mark.fault(58)
@given(MEMORY, CORES, CHIPS, st.none() | st.integers(1, 5000), appetites())
def test_what_is_planned_fits_what_was_given(memory, cores, best_chip, tile_px, appetite):
    try:
        budget = plan_budget(memory, cores, tile_px, best_chip, appetite)
    except MemoryTooSmallError:
        assume(False)
    assert planned_bytes(budget, appetite) <= memory + 1
    assert 1 <= budget.passes_at_once <= cores
    assert 1 <= budget.passes_at_once * budget.threads_per_pass <= cores
    assert 2 <= budget.tiles_in_flight <= max(2, budget.passes_at_once + 1)
    assert BASE + budget.gdal_cache_bytes + budget.finish_bytes <= memory
    assert 1 <= budget.chip_cells <= budget.tile_cells


@given(MEMORY, CORES, WORKERS, appetites())
def test_shares_of_workers_fit_together_into_what_was_given(memory, cores, workers, appetite):
    budget = plan_budget_or_none(memory, cores, None, appetite)
    assume(budget is not None)
    share = share_budget(budget, memory, cores, workers, appetite)
    if share is None:
        return
    assert 2 <= share.processes <= workers
    assert 1 <= share.passes * budget.threads_per_pass <= max(budget.threads_per_pass, cores // share.processes)
    one = planned_bytes(
        replace(
            budget,
            passes_at_once=share.passes,
            tiles_in_flight=share.tiles_in_flight,
            gdal_cache_bytes=share.gdal_cache_bytes,
        ),
        appetite,
    )
    assert share.processes * (one - BASE + 600_000_000) + 400_000_000 <= memory + share.processes
    more = share_budget(budget, memory + GIGABYTE, cores, workers, appetite)
    assert more is not None
    assert more.processes >= share.processes


@given(MEMORY, CORES, st.integers(1, 64), appetites())
def test_a_worker_of_a_cluster_has_at_least_a_seat(memory, cores, threads, appetite):
    budget = plan_budget_or_none(memory, cores, None, appetite)
    assume(budget is not None)
    share = share_of_worker(budget, memory, threads, appetite)
    assert share.passes >= 1
    assert share.tiles_in_flight >= 1
    assert share.passes * budget.threads_per_pass <= max(threads, budget.threads_per_pass)


@given(MEMORY, CORES, appetites())
def test_cores_work_alone_on_chips_that_are_large_enough(memory, cores, appetite):
    """One thread per pass, all cores busy, wherever the chip is more than the least that is worth sharing."""
    assume(plan_budget_or_none(memory, cores, None, appetite) is not None)
    budget = plan_budget(memory, cores, None, 2048, appetite)
    if budget.chip_cells * appetite.cell_px > max(512, appetite.cell_px):
        assert (budget.passes_at_once, budget.threads_per_pass) == (cores, 1)


@given(MEMORY, st.integers(0, 10 * GIGABYTE), CORES, CHIPS, st.none() | st.integers(1, 5000), appetites())
def test_more_memory_never_plans_less(memory, more, cores, best_chip, tile_px, appetite):
    try:
        less = plan_budget(memory, cores, tile_px, best_chip, appetite)
    except MemoryTooSmallError:
        assume(False)
    larger = plan_budget(memory + more, cores, tile_px, best_chip, appetite)
    for name in ("tile_cells", "chip_cells", "gdal_cache_bytes", "strip_bytes", "finish_bytes"):
        assert getattr(larger, name) >= getattr(less, name), name


@pytest.mark.fault(58)
@given(st.integers(0, 12 * GIGABYTE), CORES, st.none() | st.integers(1, 5000), appetites())
def test_too_little_names_what_is_enough_and_what_is_hardly_less_is_not(memory, cores, tile_px, appetite):
    assume(plan_budget_or_none(memory, cores, tile_px, appetite) is None)
    with pytest.raises(MemoryTooSmallError) as refused:
        plan_budget(memory, cores, tile_px, 1024, appetite)
    least = least_of(refused.value)
    assert refused.value.exit_code == 2
    assert "raise --max-memory" in refused.value.todo
    assert least > memory
    plan_budget(least, cores, tile_px, 1024, appetite)
    with pytest.raises(MemoryTooSmallError):
        plan_budget(least - 2 * 10**7, cores, tile_px, 1024, appetite)


@given(MEMORY, CORES, appetites())
def test_the_largest_square_that_fits_is_taken(memory, cores, appetite):
    """Sides double; the next one is too large for the memory, or past what any device gains from."""
    try:
        budget = plan_budget(memory, cores, None, 1024, appetite)
    except MemoryTooSmallError:
        assume(False)
    side = budget.tile_cells * appetite.cell_px
    assert side & -side == side or appetite.cell_px & -appetite.cell_px != appetite.cell_px
    if side * 2 <= 2048:
        doubled = plan_budget_or_none(memory, cores, side * 2, appetite)
        assert doubled is None, "a tile twice as large fits too"


def plan_budget_or_none(memory: int, cores: int, tile_px: int | None, appetite: Appetite) -> Budget | None:
    try:
        return plan_budget(memory, cores, tile_px, 1024, appetite)
    except MemoryTooSmallError:
        return None


SMALL = appetite_of(3, 4, 32, (36, 36, 29, 29), 8, 400.0, None, BASE)


@pytest.mark.parametrize(("asked", "cells"), [(1, 1), (32, 1), (33, 2), (96, 3), (500, 16)])
def test_a_tile_size_is_rounded_up_to_whole_cells(asked, cells):
    assert plan_budget(4 * GIGABYTE, 1, asked, 1024, SMALL).tile_cells == cells


def test_a_tile_that_does_not_fit_is_refused_and_not_made_smaller_in_silence():
    with pytest.raises(MemoryTooSmallError) as refused:
        plan_budget(GIGABYTE, 1, 50_000, 1024, SMALL)
    assert "--tile-size 50000" in refused.value.given
    assert "--tile-size" in refused.value.todo


def test_a_network_that_states_no_workspace_is_not_free():
    assert appetite_of(3, 4, 32, (0, 0, 0, 0), 8, 0.0, None, BASE).workspace_bytes_per_px > 0


@given(st.tuples(*[st.integers(0, 400)] * 4), st.integers(1, 64))
def test_the_margin_is_the_widest_halo_or_the_chip(radius, stride):
    finite = appetite_of(3, 4, stride * 8, radius, stride, 100.0, None, BASE)
    assert finite.margin_px % stride == 0
    assert max(radius) <= finite.margin_px < max(radius) + stride
    assert appetite_of(3, 4, stride * 8, radius, stride, 100.0, 512, BASE).margin_px == 512


@given(MEMORY, CORES, appetites())
def test_more_cores_never_get_larger_pieces(memory, cores, appetite):
    try:
        many = plan_budget(memory, cores + 1, None, 1024, appetite)
    except MemoryTooSmallError:
        assume(False)
    few = plan_budget(memory, cores, None, 1024, appetite)
    assert few.tile_cells >= many.tile_cells
    assert few.chip_cells >= many.chip_cells


DEEP = Appetite(4, 7, 256, 320, 288.0, None, 500 * 10**6, column_bytes=130_000.0)


def test_a_large_halo_is_computed_once_where_the_network_can():
    budget = plan_budget(8 * GIGABYTE, 2, None, 2048, DEEP)
    assert budget.column_px == 256 * budget.tile_cells
    assert plan_budget(8 * GIGABYTE, 2, None, 2048, replace(DEEP, column_bytes=0.0)) == replace(budget, column_px=0)
    assert plan_budget(8 * GIGABYTE, 2, None, 2048, replace(DEEP, margin_px=32)).column_px == 0  # hardly a halo


@given(st.integers(1, 16).map(lambda count: count * GIGABYTE), st.integers(1, 8), st.integers(30_000, 10**6))
def test_columns_fit_into_what_was_planned_for_chips(memory, cores, column_bytes):
    appetite = replace(DEEP, column_bytes=float(column_bytes))
    budget = plan_budget(memory, cores, None, 2048, appetite)
    chip = (budget.chip_cells * 256 + 2 * 320) ** 2 * (288 + 4 * 11)
    assert (budget.column_px + 2 * 320) * column_bytes <= chip or budget.column_px == 0
    assert budget.column_px <= budget.tile_cells * 256
