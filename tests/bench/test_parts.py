"""The parts of a run that the benchmark measures alone are those of the run."""

from __future__ import annotations

from collections import Counter

import geoseg
from geoseg.bench.parts import chip_shapes, measure_parts
from geoseg.demo.land import write_scene
from geoseg.models import resolve
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from geoseg.pipeline import prepare
from geoseg.settings import Settings
from geoseg.spec import JobSpec


def test_the_chips_that_are_timed_are_those_that_the_run_passes(tmp_path, monkeypatch):
    bands = resolve("demo-landcover", models_dirs=(), cache=tmp_path, offline=True).spec.bands
    scene = write_scene(tmp_path / "scene.tif", bands, 700)
    seen: Counter[tuple[int, int]] = Counter()
    scores = OpenVinoNetwork.scores

    def counted(network, values, valid):
        seen[values.shape[2:]] += 1
        return scores(network, values, valid)

    monkeypatch.setattr(OpenVinoNetwork, "scores", counted)
    job = {"scenes": (str(scene),), "model": "demo-landcover", "sensor": "sentinel-2-l2a"}
    where = {"tile_size": 512, "device": "cpu", "backend": "openvino", "cache": tmp_path / "cache"}
    geoseg.run(out=tmp_path / "map", **job, **where)
    prepared = prepare(JobSpec.build(**job), Settings.with_options(**where))
    assert chip_shapes(prepared) == seen
    assert len(seen) > 1
    parts = measure_parts(prepared, scene, tmp_path / "map", tmp_path)
    assert min(parts.forward, parts.decoding, parts.outlines, parts.writing) > 0
    assert parts.total == parts.forward + parts.decoding + parts.outlines + parts.writing
