"""The record of a tile with which worker processes ended, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoseg.pixels import FAILED_CLASS, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.store import Store, TileRecord
from geoseg.tally import Done
from geoseg.work import TileJob, done_of


def lose(store: Store, job: TileJob, layers: Sequence[str], why: str) -> Done:
    """Write the record of a tile that nobody could compute: failed pixels, which the next run tries again.

    Args:
        store: Where records go.
        job: The tile.
        layers: Names of the further layers that its record has.
        why: What became of those who tried.

    Raises:
        OutputError: If it cannot be written.
    """
    wanted = job.task.tile.expand(job.task.cells)
    unsure = np.full(wanted.shape, NO_CONFIDENCE, "uint8")
    made = {
        "classes": np.where(wanted, np.uint8(FAILED_CLASS), np.uint8(NO_CLASS)),
        "confidence": unsure,
        "reason": np.where(wanted, np.uint8(Reason.LOST), np.uint8(Reason.UNOBSERVED)),
        **dict.fromkeys(layers, unsure),
    }
    record = store.add(job.key, TileRecord(made, job.task.cells, incomplete=True, facts={"used_px": {}, "lost": why}))
    return done_of(job, record, {})
