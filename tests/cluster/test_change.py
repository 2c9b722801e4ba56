"""Two dates by worker processes: the same bytes as by one."""

from __future__ import annotations

from pathlib import Path

from pairs import write_pair


def test_worker_processes_change_no_byte_of_a_change_map(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, shape=(120, 300))
    one, two = (pair.run(tmp_path / f"w{count}", tile_size=1, workers=count) for count in (1, 2))
    assert one.report["tiles"]["total"] > 1
    assert two.report["settings"]["workers"] == 2
    for name in ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv"):
        assert (one.out / name).read_bytes() == (two.out / name).read_bytes(), name
