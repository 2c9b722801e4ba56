"""The table of land cover against a register: numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.bench.landcover import measure_landcover, score
from geoseg.errors import RequestError
from geoseg.models import resolve

NAMES = {0: "water", 1: "trees", 2: "grass", 6: "built area"}


def test_agreement_is_counted_where_the_register_knows(tmp_path):
    register = np.array([[2, 2, 2, 3], [3, 8, 0, 0]])  # 0: unused land, no class
    classes = np.array([[1, 1, 2, 2], [0, 255, 1, 2]])
    found = score("a map", classes, NAMES, register)
    assert found.accuracy == 3 / 6
    assert (found.recall[2], found.precision[2]) == (2 / 3, 1)
    assert found.f1[2] == pytest.approx(2 * 2 / (3 + 2))
    assert (found.recall[3], found.precision[3]) == (1 / 2, 1 / 2)
    assert found.recall[8] == 0  # 255 is wrong, and so is water
    assert np.isnan(found.precision[8])
    assert np.isnan(found.recall[4])
    with pytest.raises(RequestError, match="s2-slovenia-lulc"):
        measure_landcover(tmp_path, tmp_path, print)


def test_the_register_is_told_in_classes_of_the_model(tmp_path):
    from geoseg.bench.landcover import REGISTER

    model = resolve("dynamic-world", models_dirs=(), cache=tmp_path, offline=True).spec
    assert {name for _, name in REGISTER.values()} <= {info.name.replace("-", " ") for info in model.classes}
