"""The table of odd inputs: a row for each, whatever it is, and the way out tried where it is ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geoseg.bench.oddities import tabulate


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_every_input_has_a_row_and_a_refusal_its_way_out(tmp_path: Path) -> None:
    folder, lines = tmp_path / "odd", list[str]()
    folder.mkdir()
    with rasterio.open(folder / "bare.tif", "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8") as file:
        file.write(np.full((1, 30, 40), 7, "uint8"))
    (folder / "item.json").write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "broken"}))
    whole = tabulate([folder], tmp_path, lines.append, markdown=True)
    table = dict(line.strip("| \n").split(" | ", 1) for line in lines[1:])
    assert set(table) == {"bare.tif", "bare.tif --pixel-grid", "item.json: broken"}
    assert table["bare.tif"].startswith("refused (exit 2)")
    assert table["bare.tif --pixel-grid"].startswith("mapped | 40 x 30 px, no place")
    assert table["item.json: broken"].startswith("refused")
    assert whole
