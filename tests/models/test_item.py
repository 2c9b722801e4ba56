"""Items are read and obeyed: a spec survives the round trip, and contradictions are refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import ModelSpecError
from geoseg.models import ModelSpec, Step
from geoseg.models.item import STEPS_FORMAT
from geoseg.models.steps import OPERATIONS, steps_from_value_scaling
from geoseg.models.transform import Transform


def through_json(spec):
    return ModelSpec.from_item(json.loads(json.dumps(spec.to_item(), allow_nan=False)))


def test_an_item_reads_back_as_the_spec_that_wrote_it(make_spec):
    for spec in (
        make_spec(),
        make_spec(transform=()),
        make_spec(kind="global", radius_px=(0, 0, 0, 0), chip_px=256, chip_step_px=128, stride_px=32),
        make_spec(transform=(Step.of("clip", minimum=0.0), Step.of("log1p", scale=[1.0, 2.0]), Step.of("logistic"))),
        make_spec(temperature=1.75),
        make_spec(expects=None, resolution_m=None, resolution_range_m=None, notes=(), attribution=""),
    ):
        back = through_json(spec)
        assert back == spec
        assert back.digest == spec.digest


def test_the_item_is_what_stac_model_and_pystac_take(make_spec):
    document = make_spec().to_item()
    pystac.Item.from_dict(copy.deepcopy(document))
    properties = copy.deepcopy(document["properties"])
    for row in properties["mlm:output"][0]["classification:classes"]:
        # stac_model's class takes four fields only; STAC's classification has more.
        for key in ("title", "geoseg:code"):
            row.pop(key, None)
    # Not among the pins: it asks for an installer newer than the one that a Python brings along.
    schema = pytest.importorskip("stac_model.schema")
    schema.MLModelProperties(**properties)


def test_the_digest_holds_what_pixels_depend_on_and_nothing_else(make_spec):
    spec = make_spec()
    for change in (
        {"bands": ("red", "nir")},
        {"quantity": "reflectance"},
        {"transform": ()},
        {"fill": (0.0, 0.0)},
        {"stride_px": 16},
        {"hyperparameters": {"widths": [4, 4, 8]}},
        {"radius_px": (40, 40, 40, 48)},
        {"temperature": 1.5},
    ):
        assert make_spec(**change).digest != spec.digest, change
    for change in ({"title": "x"}, {"notes": ()}, {"licence": "MIT"}, {"attribution": ""}, {"expects": None}):
        assert make_spec(**change).digest == spec.digest, change


def edit(document, path, value):
    *parents, last = path
    place = document
    for key in parents:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return document


INPUT = ("properties", "mlm:input", 0)
OUTPUT = ("properties", "mlm:output", 0)
HYPER = ("properties", "mlm:hyperparameters")
Z = {"type": "z-score", "mean": 1.0, "stddev": 1.0}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*INPUT, "value_scaling"), [Z, Z, Z]),
        ((*INPUT, "value_scaling"), [{"type": "z-score", "mean": 1.0}]),
        ((*INPUT, "value_scaling"), [{"type": "z-score", "mean": 1.0, "stddev": 0.0}]),
        ((*INPUT, "value_scaling"), [{"type": "scale", "value": 0}]),
        ((*INPUT, "value_scaling"), [{"type": "processing", "format": "python", "expression": "os:system"}]),
        ((*INPUT, "pre_processing_function"), {"format": "python", "expression": "os:system"}),
        ((*INPUT, "pre_processing_function"), {"format": STEPS_FORMAT, "expression": [{"op": "log1p"}]}),
        ((*INPUT, "bands"), ["red"]),
        ((*INPUT, "bands"), ["red", "red"]),
        ((*INPUT, "bands"), ["red", {"name": "ndvi", "format": "rio-calc", "expression": "a/b"}]),
        ((*INPUT, "input", "shape"), [-1, 2, 256, 256]),
        ((*INPUT, "input", "shape"), [-1, 3, -1, -1]),
        ((*INPUT, "input", "dim_order"), ["batch", "height", "width", "bands"]),
        ((*INPUT, "input", "data_type"), "uint8"),
        ((*INPUT, "resize_type"), "interpolation-linear"),
        ((*OUTPUT, "result", "shape"), [-1, 5, -1, -1]),
        ((*OUTPUT, "classification:classes", 1, "value"), 2),
        ((*OUTPUT, "classification:classes", 1, "value"), "1"),
        ((*OUTPUT, "classification:classes", 1, "color_hint"), "green"),
        ((*OUTPUT, "post_processing_function"), {"format": "python", "expression": "x:y"}),
        (("properties", "mlm:input"), []),
        (("properties", "license"), KeyError),
        (("properties", "mlm:architecture"), KeyError),
        ((*HYPER, "geoseg.quantity"), KeyError),
        ((*HYPER, "geoseg.quantity"), "radiance"),
        ((*HYPER, "geoseg.kind"), KeyError),
        ((*HYPER, "geoseg.kind"), "global"),
        ((*HYPER, "geoseg.stride_px"), 0),
        ((*HYPER, "geoseg.stride_px"), 7),
        ((*HYPER, "geoseg.radius_px"), [1, 2, 3]),
        ((*HYPER, "geoseg.radius_px"), [1, 2, 3, -1]),
        ((*HYPER, "geoseg.fill"), [0, 0, 0]),
        ((*HYPER, "geoseg.temperature"), 0.0),
        ((*HYPER, "geoseg.temperature"), 8.5),
        ((*HYPER, "geoseg.temperature"), "hot"),
        ((*HYPER, "geoseg.chip_px"), 256),
        ((*HYPER, "bad name"), 1),
        (("assets",), {}),
        (("assets", "weights", "file:checksum"), KeyError),
        (("assets", "weights", "file:checksum"), "d41d8cd98f00b204e9800998ecf8427e"),
        (("assets", "weights", "mlm:artifact_type"), "onnx"),
        (("assets", "weights", "href"), "../weights.safetensors"),
        (("assets", "weights", "href"), "/etc/passwd"),
        (("assets", "weights", "geoseg:file_name"), "../../x"),
        (("id",), ""),
    ],
)
def test_a_contradiction_is_refused_in_three_lines(make_spec, path, value):
    document = edit(copy.deepcopy(make_spec().to_item()), path, value)
    with pytest.raises(ModelSpecError) as refused:
        ModelSpec.from_item(document)
    assert len(str(refused.value).splitlines()) == 3


def test_more_classes_than_values_are_refused(make_spec):
    from geoseg.models import ClassInfo

    ModelSpec.from_item(make_spec(classes=tuple(ClassInfo(i, f"c{i}", "#000000") for i in range(251))).to_item())
    with pytest.raises(ModelSpecError):
        make_spec(classes=tuple(ClassInfo(i, f"c{i}", "#000000") for i in range(252)))


number = st.floats(-50, 50, allow_nan=False)
positive = st.floats(0.1, 50)
entry = st.one_of(
    st.none(),
    st.builds(lambda m, s: {"type": "z-score", "mean": m, "stddev": s}, number, positive),
    st.builds(lambda a, d: {"type": "min-max", "minimum": a, "maximum": a + d}, number, positive),
    st.builds(lambda a, d: {"type": "clip", "minimum": a, "maximum": a + d}, number, positive),
    st.builds(lambda a: {"type": "clip-min", "minimum": a}, number),
    st.builds(lambda a: {"type": "clip-max", "maximum": a}, number),
    st.builds(lambda a: {"type": "offset", "value": a}, number),
    st.builds(lambda a: {"type": "scale", "value": a}, positive),
)


def scaled(rule, x):
    """What MLM says an entry does: offset subtracts, scale divides."""
    if rule is None:
        return x
    return {
        "z-score": lambda: (x - rule["mean"]) / rule["stddev"],
        "min-max": lambda: (x - rule["minimum"]) / (rule["maximum"] - rule["minimum"]),
        "clip": lambda: np.clip(x, rule["minimum"], rule["maximum"]),
        "clip-min": lambda: np.maximum(x, rule["minimum"]),
        "clip-max": lambda: np.minimum(x, rule["maximum"]),
        "offset": lambda: x - rule["value"],
        "scale": lambda: x / rule["value"],
    }[rule["type"]]()


@given(st.lists(entry, min_size=3, max_size=3), st.booleans())
def test_value_scaling_does_what_mlm_says_per_band_and_for_all(rules, one_for_all):
    rules = rules[:1] if one_for_all else rules
    x = np.linspace(-60, 60, 3 * 4 * 5).reshape(3, 4, 5)
    expected = np.stack([scaled(rules[0 if one_for_all else band], x[band]) for band in range(3)])
    found = Transform(steps_from_value_scaling(rules, 3), 3).numpy(x)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-4)


steps = st.lists(
    st.sampled_from(
        [
            Step.of("multiply", by=3.0),
            Step.of("divide", by=[2.0, 4.0]),
            Step.of("add", by=[0.25, 1.0]),
            Step.of("subtract", by=0.5),
            Step.of("affine", scale=[0.5, 2.0], offset=0.1),
            Step.of("zscore", mean=[0.1, 0.2], std=2.0),
            Step.of("minmax", minimum=-1.0, maximum=[3.0, 4.0]),
            Step.of("clip", minimum=0.0),
            Step.of("clip", minimum=[-1.0, 0.0], maximum=1.0),
            Step.of("logistic"),
        ]
    ),
    max_size=6,
)


def literally(step, x):
    a, b = (*(np.asarray(values).reshape(-1, 1, 1) for _, values in step.parameters), None, None)[:2]
    return {
        "multiply": lambda: x * a,
        "divide": lambda: x / a,
        "add": lambda: x + a,
        "subtract": lambda: x - a,
        "affine": lambda: x * a + b,
        "zscore": lambda: (x - a) / b,
        "minmax": lambda: (x - a) / (b - a),
        "clip": lambda: np.minimum(np.maximum(x, a), b),
        "logistic": lambda: 1 / (1 + np.exp(-x)),
    }[step.op]()


@given(steps)
def test_folded_passes_equal_the_steps_one_by_one_in_numpy_and_torch(chain):
    import torch

    x = np.linspace(-2, 2, 2 * 3 * 4).reshape(2, 3, 4)
    expected = x
    for step in chain:
        assert Step.from_json(json.loads(json.dumps(step.to_json()))) == step
        expected = literally(step, expected)
    transform = Transform(chain, 2)
    np.testing.assert_allclose(transform.numpy(x), expected, rtol=1e-4, atol=1e-5)
    tensor = transform.torch_(torch.from_numpy(x.astype("float32"))[None])
    np.testing.assert_allclose(tensor[0].numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", [*OPERATIONS, "eval"])
def test_a_step_with_a_strange_parameter_is_refused(op):
    with pytest.raises(ModelSpecError):
        Step.from_json({"op": op, "code": "1"})
