"""Why GDAL does not talk to servers: its own client, in a process of its own, against the same faults.

A newer GDAL may do better; then these skip, and docs/decisions/007 is due for another look. What geoseg does about the
same faults is in tests/faults/test_c_remote.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.server import FaultServer, Rule, serving, short, status, then_replace
from tests.remote.world import write_bands

# Opens a file three times and says for each whether its pixels are those of another file.
READ = """
import json, sys, warnings
import rasterio
warnings.simplefilter("ignore")
with rasterio.open(sys.argv[2]) as file:
    truth = file.read(1)
said = []
with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_HTTP_RETRY_DELAY=0.01, **json.loads(sys.argv[3])):
    for _ in range(3):
        try:
            with rasterio.open(sys.argv[1]) as file:
                said.append("equal" if (file.read(1) == truth).all() else "wrong")
        except rasterio.errors.RasterioError:
            said.append("error")
print(json.dumps(said))
"""


@pytest.fixture
def server(tmp_path: Path):
    write_bands(tmp_path / "served", ("red",))
    write_bands(tmp_path / "truth", ("red",))
    with serving(tmp_path / "served") as running:
        yield running


def three_reads(server: FaultServer, **options: object) -> list[str]:
    """What GDAL says of a file, three times in one process."""
    truth = server.root.with_name("truth") / "red.tif"
    command = [sys.executable, "-c", READ, f"{server.url}/red.tif", str(truth), json.dumps(options)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def documented(said: list[str], trap: list[str]) -> None:
    if said != trap:
        pytest.skip(f"this GDAL does better: {said}")


def behind_the_header(request) -> bool:
    return (request.start or 0) > 0


@pytest.mark.slow
def test_a_body_cut_short_is_not_asked_for_again(server):
    server.add(Rule(short(), behind_the_header))
    documented(three_reads(server, GDAL_HTTP_MAX_RETRY=5, GDAL_HTTP_RETRY_CODES="ALL"), ["error"] * 3)
    assert len(server.seen) == 3


@pytest.mark.slow
def test_with_threads_a_body_cut_short_is_zeros_without_a_word(server):
    server.add(Rule(short(), behind_the_header))
    documented(three_reads(server, GDAL_HTTP_MAX_RETRY=5, GDAL_NUM_THREADS=2), ["wrong", "equal", "equal"])


@pytest.mark.slow
def test_a_refusal_is_remembered(server):
    server.add(Rule(status(503)))
    documented(three_reads(server), ["error"] * 3)
    assert len(server.seen) == 1


@pytest.mark.slow
def test_a_file_that_is_replaced_is_a_mix_without_a_word(server, tmp_path):
    write_bands(tmp_path / "new", ("red",), seed=1)
    server.add(Rule(then_replace(server.root / "red.tif", (tmp_path / "new" / "red.tif").read_bytes())))
    documented(three_reads(server, GDAL_HTTP_MAX_RETRY=5), ["wrong"] * 3)
