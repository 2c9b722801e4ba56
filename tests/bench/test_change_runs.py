"""Change maps of whole jobs are those of the detectors on arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geoseg.bench.change import Pair, confusion_of, found_by, read_taizhou
from geoseg.bench.change_runs import Runs
from geoseg.change.detectors import DEFAULT
from tests.change.scenery import pair


@pytest.mark.parametrize("detector", [DEFAULT, "change-vectors-standardised"])
def test_a_run_sees_the_change_that_the_detector_sees_in_arrays(tmp_path: Path, detector: str) -> None:
    before, after, changed = pair(4, shape=(96, 128))
    valid = np.ones(changed.shape, dtype=bool)
    bands = ("red", "green", "blue", "nir")
    one = Pair("made", before.astype("float32"), after.astype("float32"), valid, bands, changed.astype("uint8"))
    found, result = Runs(tmp_path).change(one, detector, "run")
    assert result.report["change"]["alignment"]["correction_px"] == [0.0, 0.0]
    np.testing.assert_array_equal(found, found_by(detector, one))


def test_the_default_workflow_on_the_real_pair(tmp_path: Path, shared: Path) -> None:
    real = read_taizhou(shared / "data" / "change-landsat-taizhou")
    found, _ = Runs(tmp_path).change(real, DEFAULT, "run")
    assert (confusion_of(real, found).kappa or 0) >= 0.90
