"""Exported networks give the classes of the originals, and are refused where they do not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import geoseg
from geoseg.demo.land import generated_land
from geoseg.errors import ModelMismatchError, ModelSpecError, RequestError, WeightsError
from geoseg.models import ModelFolder, backends, resolve, timing
from geoseg.models.backends import Backend, choose_backend, is_exported
from geoseg.models.exports import Agreement, Export, find_export, trials
from geoseg.models.exports.agreement import SURE_MARGIN, boundaries, compare
from geoseg.models.exports.onnx_network import OnnxNetwork
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from geoseg.models.exports.record import sha256_of

SHIPPED = ["demo-landcover", "demo-uav"]


def shipped(name: str, cache: Path | None = None) -> ModelFolder:
    return resolve(name, models_dirs=(), cache=cache)


def export_of(folder: ModelFolder, backend: str = "openvino") -> Export:
    export = find_export(folder, backend, "exact")
    assert export is not None
    return export


def chip(folder: ModelFolder, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Land in the model's quantity, with a corner that is not to be believed."""
    rng = np.random.default_rng(rows * cols)
    if folder.spec.quantity == "reflectance":
        values = generated_land(folder.spec.bands, max(rows, cols), seed=3)[:, :rows, :cols] / np.float32(10_000)
    else:
        values = rng.random((len(folder.spec.bands), rows, cols)) * 255
    valid = np.ones((1, rows, cols), bool)
    valid[:, : rows // 4, : cols // 3] = False
    return values[None].astype("float32"), valid


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(("rows", "cols"), [(256, 256), (64, 320)])
def test_a_shipped_export_gives_the_classes_of_the_weights_beside_it(name, rows, cols):
    import torch

    from geoseg.models.network import load_network

    folder = shipped(name)
    values, valid = chip(folder, rows, cols)
    ours = OpenVinoNetwork(folder.spec, export_of(folder)).scores(values, valid)[0]
    theirs = load_network(folder).scores(torch.from_numpy(values), torch.from_numpy(valid)).numpy()[0]
    ordered = np.sort(theirs, axis=0)
    sure = ordered[-1] - ordered[-2] > SURE_MARGIN
    assert sure.mean() > 0.99
    assert (ours.argmax(axis=0) == theirs.argmax(axis=0))[sure].all()
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.allclose(ours.sum(axis=0), 1, atol=1e-5)


def test_what_is_not_believed_changes_nothing():
    folder = shipped("demo-landcover")
    values, valid = chip(folder, 128, 128)
    network = OpenVinoNetwork(folder.spec, export_of(folder))
    clean = network.scores(values, valid)
    values[:, :, ~valid[0]] = np.nan
    assert np.array_equal(network.scores(values, valid), clean)


def test_chips_of_many_shapes_give_what_each_gives_alone():
    """Shapes are compiled as they come and dropped for others: the order must not show."""
    folder = shipped("demo-landcover")
    shapes = [(256, 256), (64, 128), (512, 512), (64, 128), (256, 256), (512, 64)]
    network = OpenVinoNetwork(folder.spec, export_of(folder))
    for rows, cols in shapes:
        values, valid = chip(folder, rows, cols)
        alone = OpenVinoNetwork(folder.spec, export_of(folder)).scores(values, valid)
        assert np.array_equal(network.scores(values, valid), alone)


def test_an_altered_file_is_refused(tmp_path):
    export = export_of(shipped("demo-landcover"))
    for name in (*export.files, "export.json"):
        (tmp_path / name).write_bytes((export.path / name).read_bytes())
    body = bytearray((tmp_path / "model.bin").read_bytes())
    body[1000] ^= 1
    (tmp_path / "model.bin").write_bytes(body)
    with pytest.raises(WeightsError) as refused:
        OpenVinoNetwork(shipped("demo-landcover").spec, Export.read(tmp_path))
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"results": -1},
        {"workspace_bytes_per_px": 0.0},
        {"workspace_bytes_per_px": "x"},
        {"files": {}},
        {"files": ["model.xml"]},
        {"files": {"model.xml": "0" * 64}},
        {"files": {"model.xml": "0" * 64, "/dev/zero": "0" * 64}},
        {"agreement": None},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_is_refused_and_passed_over(tmp_path, changes):
    folder = shipped("demo-landcover")
    document = json.loads((export_of(folder).path / "export.json").read_text())
    elsewhere = replace(folder, path=tmp_path)
    place = tmp_path / "exports" / "openvino-exact"
    place.mkdir(parents=True)
    (place / "export.json").write_text(json.dumps(document))
    assert find_export(elsewhere, "openvino", "exact") is not None
    (place / "export.json").write_text(json.dumps({**document, **changes}))
    with pytest.raises(ModelSpecError) as refused:
        Export.read(place)
    assert len(str(refused.value).splitlines()) == 3
    assert find_export(elsewhere, "openvino", "exact") is None


def test_exports_of_one_model_with_other_files_have_other_keys():
    export = export_of(shipped("demo-landcover"))
    other = replace(export, files=dict.fromkeys(export.files, "0" * 64))
    assert export.precision != other.precision


def test_a_child_finds_nothing_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(geoseg.__file__).parent.parent))
    assert trials._apart(max, 1, 2) == 2


def test_the_export_of_another_version_of_a_model_is_passed_over():
    folder = shipped("demo-landcover")
    changed = replace(folder, spec=replace(folder.spec, fill=(1.0,)))
    assert find_export(folder, "openvino", "exact") is not None
    assert find_export(changed, "openvino", "exact") is None
    assert not is_exported(changed, "auto", "exact")
    assert not is_exported(folder, "torch", "exact")


def test_importing_openvino_tells_nobody():
    words = "from geoseg.models.exports.openvino_network import openvino; import sys; openvino().Core(); "
    words += "assert sys.modules['openvino_telemetry'] is None; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], check=True)


# The choice


def nothing_is_measured(*_: object, **__: object) -> dict[str, float]:
    raise AssertionError("measured")


@pytest.mark.parametrize(
    ("torch", "openvino", "chosen"), [(5.0, 8.0, "openvino"), (8.2, 8.0, "openvino"), (9.0, 8.0, "torch")]
)
def test_the_quicker_one_is_chosen_and_remembered(tmp_path, monkeypatch, torch, openvino, chosen):
    folder, said = shipped("demo-landcover", tmp_path), []
    monkeypatch.setattr(timing, "speeds_apart", lambda *_, **__: {"torch": torch, "openvino": openvino})
    first = choose_backend(folder, "auto", "cpu", "exact", 2, say=said.append)
    assert (first.name, first.precision.split()[0]) == (chosen, "float32")
    assert len(said) == 1
    monkeypatch.setattr(timing, "speeds_apart", nothing_is_measured)
    assert choose_backend(folder, "auto", "cpu", "exact", 2) == first


def test_what_is_asked_for_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "speeds_apart", nothing_is_measured)
    folder = shipped("demo-landcover", tmp_path)
    assert choose_backend(folder, "torch", "cpu", "exact", 2).name == "torch"
    assert choose_backend(folder, "openvino", "cpu", "exact", 2).name == "openvino"
    assert choose_backend(folder, "auto", "cuda", "exact", 2) == Backend("torch", "cuda", "exact")


def test_without_torch_an_export_is_run_and_nothing_else(tmp_path, monkeypatch):
    for module in (backends, timing):
        monkeypatch.setattr(module, "has_torch", lambda: False)
    assert choose_backend(shipped("demo-landcover", tmp_path), "auto", "cpu", "exact", 2).name == "openvino"
    with pytest.raises(RequestError) as refused:
        choose_backend(shipped("dynamic-world", tmp_path), "auto", "cpu", "exact", 2)
    assert "geoseg models export" in refused.value.todo


@pytest.mark.parametrize(
    ("wanted", "device", "profile", "missing"),
    [
        ("openvino", "cpu", "exact", "has_openvino"),
        ("torch", "cpu", "exact", "has_torch"),
        ("onnx", "cpu", "exact", "has_onnxruntime"),
        ("onnx", "cuda", "exact", ""),
        ("openvino", "cuda", "exact", ""),
        ("auto", "cuda", "int8", ""),
        ("auto", "cpu", "bf16", ""),
        ("torch", "cpu", "int8", ""),
        ("onnx", "cpu", "int8", ""),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_way_out(tmp_path, monkeypatch, wanted, device, profile, missing):
    if missing:
        monkeypatch.setattr(backends, missing, lambda: False)
    with pytest.raises(RequestError) as refused:
        choose_backend(shipped("demo-landcover", tmp_path), wanted, device, profile, 2)
    assert len(str(refused.value).splitlines()) == 3


# ONNX Runtime


@pytest.fixture(scope="module")
def with_onnx(tmp_path_factory) -> ModelFolder:
    """A shipped model, and a cache with its export to ONNX."""
    folder = shipped("demo-landcover", tmp_path_factory.mktemp("cache"))
    made = trials.export_apart(folder, "exact", backend="onnx")
    assert (made.agreement.sure_classes, set(made.files)) == (1.0, {"model.onnx"})
    return folder


@pytest.mark.parametrize(("rows", "cols"), [(256, 256), (64, 320)])
def test_onnx_runtime_gives_the_classes_of_torch(with_onnx, rows, cols):
    import torch

    from geoseg.models.network import load_network

    values, valid = chip(with_onnx, rows, cols)
    ours = OnnxNetwork(with_onnx.spec, export_of(with_onnx, "onnx")).scores(values, valid)[0]
    theirs = load_network(with_onnx).scores(torch.from_numpy(values), torch.from_numpy(valid)).numpy()[0]
    ordered = np.sort(theirs, axis=0)
    sure = ordered[-1] - ordered[-2] > SURE_MARGIN
    assert sure.mean() > 0.99
    assert (ours.argmax(axis=0) == theirs.argmax(axis=0))[sure].all()
    assert np.abs(ours - theirs).max() < 1e-4
    values[:, :, ~valid[0]] = np.nan
    again = OnnxNetwork(with_onnx.spec, export_of(with_onnx, "onnx"), threads=2).scores(values, valid)[0]
    assert np.abs(again - ours).max() < 1e-5


@pytest.mark.parametrize(("spoil", "words"), [("altered", "SHA-256"), ("no network", "ONNX Runtime reads")])
def test_an_onnx_file_that_is_not_what_it_was_is_refused(with_onnx, tmp_path, spoil, words):
    export = replace(export_of(with_onnx, "onnx"), path=tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    if spoil == "no network":
        export = replace(export, files={"model.onnx": sha256_of(tmp_path / "model.onnx")})
    with pytest.raises(WeightsError) as refused:
        OnnxNetwork(with_onnx.spec, export)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ({"torch": 5.0, "openvino": 8.0, "onnx": 9.0}, "onnx"),
        ({"torch": 5.0, "openvino": 8.0, "onnx": 7.0}, "openvino"),
        ({"torch": 9.9, "openvino": 8.0, "onnx": 9.0}, "torch"),
    ],
)
def test_onnx_runtime_is_timed_where_an_export_is(with_onnx, monkeypatch, tmp_path, speeds, chosen):
    timed = []

    def timing_all(_: object, exports: list[Export], *__: object, **___: object) -> dict[str, float]:
        timed.append(exports)
        return {name: speeds[name] for name in ("torch", *(export.backend for export in exports))}

    monkeypatch.setattr(timing, "speeds_apart", timing_all)
    folder = replace(with_onnx, cache=tmp_path)
    assert choose_backend(folder, "auto", "cpu", "exact", 2).name != "onnx"
    shutil.copytree(with_onnx.cache / "exports", tmp_path / "exports")
    assert choose_backend(folder, "auto", "cpu", "exact", 2).name == chosen
    assert [[export.backend for export in exports] for exports in timed] == [["openvino"], ["openvino", "onnx"]]


def test_what_was_refused_is_not_tried_again_because_something_was_timed(with_onnx, monkeypatch, tmp_path):
    """OpenVINO cannot be given the network; ONNX Runtime and torch are timed beside that."""
    refusals = []

    def refusing(*_: object, **__: object) -> Export:
        refusals.append(1)
        raise ModelMismatchError("a network of odd parts", "one that can be exported", "use --backend torch")

    monkeypatch.setattr(timing, "export_apart", refusing)
    monkeypatch.setattr(timing, "speeds_apart", lambda *_, **__: {"torch": 1.0, "onnx": 2.0})
    folder = replace(with_onnx, path=tmp_path, cache=tmp_path)  # without the shipped export
    shutil.copytree(with_onnx.cache / "exports", tmp_path / "exports")
    for _ in range(2):
        assert choose_backend(folder, "auto", "cpu", "exact", 2).name == "onnx"
    monkeypatch.setattr(timing, "speeds_apart", nothing_is_measured)
    assert choose_backend(folder, "auto", "cpu", "exact", 2).name == "onnx"
    assert len(refusals) == 1


def test_onnx_runtime_is_enough(with_onnx, monkeypatch):
    for module in (backends, timing):
        monkeypatch.setattr(module, "has_torch", lambda: False)
    monkeypatch.setattr(backends, "has_openvino", lambda: False)
    monkeypatch.setattr(timing, "speeds_apart", nothing_is_measured)
    assert choose_backend(with_onnx, "auto", "cpu", "exact", 2).name == "onnx"
    assert choose_backend(with_onnx, "onnx", "cpu", "exact", 2).key == "onnx-cpu"
    assert is_exported(with_onnx, "onnx", "exact")
    assert not is_exported(with_onnx, "onnx", "int8")
    with pytest.raises(RequestError):
        choose_backend(replace(with_onnx, cache=None), "auto", "cpu", "exact", 2)


# A profile that rounds on a GPU, measured where there is none


def flat_and_noisy(folder: ModelFolder) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Pixels on which rounding changes nothing, and pixels on which it does."""
    valid = np.ones((128, 128), bool)
    flat = np.full((len(folder.spec.bands), 128, 128), 0.1, "float32")
    noisy = np.random.default_rng(1).random(flat.shape).astype("float32")
    return {"flat": [(flat, valid)], "noisy": [(noisy, valid)]}


def test_bf16_runs_on_a_gpu_only_where_it_was_measured_and_lost_little(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # nothing is compiled here; the rounding is the same
    folder = shipped("demo-landcover", tmp_path)
    images = flat_and_noisy(folder)
    with pytest.raises(RequestError) as lossy:
        trials.export_apart(folder, "bf16", images["noisy"], "noise", backend="torch")
    assert "% of the classes" in lossy.value.expected
    with pytest.raises(RequestError) as unknown:
        choose_backend(folder, "auto", "cuda", "bf16", 2)
    assert "--profile bf16 --device cuda" in unknown.value.todo
    made = trials.export_apart(folder, "bf16", images["flat"], "a flat image", backend="torch")
    assert (made.files, made.agreement.classes) == ({}, 1.0)
    assert 0 < made.agreement.largest_difference < 0.1, "it did round"
    chosen = choose_backend(folder, "auto", "cuda", "bf16", 2)
    assert (chosen.name, chosen.precision, chosen.export) == ("torch", "bfloat16", None)
    assert "a flat image" in chosen.why
    changed = replace(folder, spec=replace(folder.spec, fill=(1.0,)))
    with pytest.raises(RequestError):
        choose_backend(changed, "auto", "cuda", "bf16", 2)


# Agreement


CLASSES = arrays("int8", st.tuples(st.integers(2, 7), st.integers(2, 7)), elements=st.integers(0, 2))


def scores_of(classes: np.ndarray, margin: float) -> np.ndarray:
    hot = (classes[None] == np.arange(3)[:, None, None]).astype("float32")
    return (hot * margin + 1 / 3).astype("float32")


@given(CLASSES)
def test_equal_answers_agree_wholly(classes):
    scores = scores_of(classes, 0.5)
    found = compare([(scores, scores.copy())], "noise")
    assert found == Agreement(classes.size, 0.0, 1.0, 1.0, 1.0, "noise")


@given(CLASSES, st.data())
def test_agreement_is_what_counting_pixel_by_pixel_gives(classes, data):
    other = data.draw(arrays("int8", classes.shape, elements=st.integers(0, 2)))
    found = compare([(scores_of(classes, 0.5), scores_of(other, 0.5))], "")
    assert found.classes == pytest.approx((classes == other).mean())
    assert found.sure_classes == found.classes


def test_pixels_that_are_not_sure_do_not_count_as_sure():
    one = np.array([[[0.5, 0.6]], [[0.5 - 1e-6, 0.4]]], "float32")
    other = np.array([[[0.5 - 1e-6, 0.6]], [[0.5, 0.4]]], "float32")
    found = compare([(one, other)], "")
    assert (found.classes, found.sure_classes) == (0.5, 1.0)


def test_a_boundary_may_move_by_one_pixel_and_no_farther():
    def half(column: int) -> np.ndarray:
        return scores_of((np.arange(20)[None, :] >= column).repeat(8, axis=0).astype("int8"), 0.5)

    assert compare([(half(10), half(11))], "").boundaries == 1.0
    assert compare([(half(10), half(12))], "").boundaries == 0.0
    assert boundaries(np.array([[0, 1], [0, 0]])).tolist() == [[True, True], [False, False]]
