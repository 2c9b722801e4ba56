"""Weights are used only when they are what the spec says, and pickles never run."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace

import httpx
import pytest
import stamina
import torch

from geoseg.errors import ModelMismatchError, ModelSpecError, RequestError, WeightsError
from geoseg.models import ModelFolder, WeightsRef
from geoseg.models.network import load_network
from geoseg.models.networks import build
from geoseg.models.saving import save_model
from geoseg.models.weights import find_weights, weights_at_hand


@pytest.fixture(autouse=True)
def _no_waiting():
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def saved(tmp_path, make_spec):
    """A folder with weights beside its item."""
    spec = make_spec()
    return save_model(tmp_path / "tiny", spec, build(spec))


def elsewhere(folder, href="https://example.org/w/weights.safetensors", **options):
    """The same model without weights in its folder."""
    weights = replace(folder.spec.weights, href=href)
    return replace(folder, path=folder.path.parent / "item-only", spec=replace(folder.spec, weights=weights), **options)


def server(answers):
    """A client whose server gives these answers in turn."""
    turn = iter(answers)

    def answer(request):
        given = next(turn)
        if isinstance(given, Exception):
            raise given
        return given

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_weights_beside_the_item_are_found(saved):
    assert find_weights(saved) == saved.path / "weights.safetensors"


def test_weights_in_a_folder_of_the_folder_are_found(saved):
    inside = saved.path / "v1" / "weights.safetensors"
    inside.parent.mkdir()
    (saved.path / "weights.safetensors").rename(inside)
    folder = replace(elsewhere(saved, href="v1/weights.safetensors", offline=True), path=saved.path)
    assert find_weights(folder) == inside


def test_weights_are_found_by_checksum_under_any_name_at_any_depth(saved, tmp_path):
    store = tmp_path / "store" / "a" / "b"
    store.mkdir(parents=True)
    (tmp_path / "store" / "weights.safetensors").write_bytes(b"x" * saved.spec.weights.size_bytes)
    (saved.path / "weights.safetensors").rename(store / "another.bin")
    folder = elsewhere(saved, search=(tmp_path / "missing", tmp_path / "store"), offline=True)
    assert find_weights(folder) == store / "another.bin"


def test_asking_whether_weights_are_here_fetches_nothing_and_removes_nothing(saved, tmp_path):
    beside = saved.path / "weights.safetensors"
    assert weights_at_hand(saved) == beside
    folder = elsewhere(saved, cache=tmp_path / "cache")
    assert weights_at_hand(folder) is None
    assert folder.may_fetch
    assert not (tmp_path / "cache").exists()
    kept = find_weights(folder, client=server([httpx.Response(200, content=beside.read_bytes())]))
    assert weights_at_hand(folder) == kept
    kept.write_bytes(b"altered")
    assert weights_at_hand(folder) is None
    assert kept.read_bytes() == b"altered"
    assert find_weights(folder, client=server([httpx.Response(200, content=beside.read_bytes())])) == kept
    assert weights_at_hand(folder) == kept


@pytest.mark.parametrize("options", [{"offline": True}, {"cache": None}])
def test_what_is_not_fetched_is_known_before(saved, tmp_path, options):
    assert not elsewhere(saved, **{"cache": tmp_path / "cache", **options}).may_fetch
    assert not elsewhere(saved, href="http://example.org/w", cache=tmp_path).may_fetch


def test_a_truncated_file_is_refused_with_both_digests(saved):
    path = saved.path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError) as refused:
        load_network(saved)
    assert refused.value.exit_code == 1
    assert saved.spec.weights.sha256 in str(refused.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(refused.value)


def test_a_fetched_file_is_checked_before_it_gets_its_name(saved, tmp_path):
    good = (saved.path / "weights.safetensors").read_bytes()
    cache = tmp_path / "cache"
    folder = elsewhere(saved, cache=cache)
    with pytest.raises(WeightsError, match="truncated or altered"):
        find_weights(folder, client=server([httpx.Response(200, content=good[:-5])]))
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    path = find_weights(folder, client=server([httpx.Response(200, content=good)]))
    assert path.read_bytes() == good
    assert find_weights(replace(folder, offline=True)) == path
    # What was altered in the cache is fetched again.
    path.write_bytes(b"bad")
    with pytest.raises(WeightsError):
        find_weights(replace(folder, offline=True))
    assert not path.exists()
    assert find_weights(folder, client=server([httpx.Response(200, content=good)])).read_bytes() == good


def test_transient_errors_are_tried_again_and_permanent_ones_are_not(saved, tmp_path):
    good = (saved.path / "weights.safetensors").read_bytes()
    folder = elsewhere(saved, cache=tmp_path / "cache")
    lucky = server([httpx.Response(503), httpx.ConnectError("reset"), httpx.Response(200, content=good)])
    assert find_weights(folder, client=lucky).read_bytes() == good
    folder = elsewhere(saved, cache=tmp_path / "other")
    for answers in ([httpx.Response(404)], [httpx.Response(403)]):
        with pytest.raises(WeightsError) as refused:  # a second request would exhaust the answers
            find_weights(folder, client=server(answers))
        assert folder.spec.weights.href in str(refused.value)


@pytest.mark.parametrize("options", [{"offline": True}, {"cache": None}])
def test_offline_says_at_once_where_to_put_the_file(saved, tmp_path, options):
    folder = elsewhere(saved, **{"cache": tmp_path / "cache", **options})
    with pytest.raises(WeightsError) as refused:
        load_network(folder)
    assert "GEOSEG_MODELS" in refused.value.todo
    assert folder.spec.weights.sha256 in refused.value.expected


def test_weights_are_fetched_over_https_only(saved, tmp_path):
    for href in ("http://example.org/w", "file:///etc/passwd", "ftp://example.org/w"):
        with pytest.raises(WeightsError):
            find_weights(elsewhere(saved, href=href, cache=tmp_path / "cache"), client=server([]))


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def pickled(tmp_path, make_spec, payload):
    path = tmp_path / "model" / "weights.pth"
    path.parent.mkdir(exist_ok=True)
    if isinstance(payload, Canary):
        path.write_bytes(pickle.dumps({"state_dict": payload}))
    else:
        torch.save(payload, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = make_spec(weights=WeightsRef(path.name, digest, path.stat().st_size, path.name, "pickle"))
    return ModelFolder(path.parent, spec)


def test_a_pickle_is_refused_and_never_runs(tmp_path, make_spec):
    canary = tmp_path / "canary"
    folder = pickled(tmp_path, make_spec, Canary(canary))
    with pytest.raises(RequestError) as refused:
        load_network(folder)
    assert refused.value.exit_code == 2
    with pytest.raises(WeightsError):
        load_network(folder, allow_pickle=True)
    assert not canary.exists()
    pickle.loads((folder.path / "weights.pth").read_bytes())
    assert canary.exists(), "the canary would have sung"


def test_an_allowed_pickle_gives_the_same_network(tmp_path, make_spec, saved):
    values, valid = torch.rand(1, 2, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
    expected = load_network(saved).scores(values, valid)
    state = {f"model.{key}": tensor for key, tensor in _state(saved).items()}
    folder = pickled(tmp_path, make_spec, {"state_dict": state, "epoch": 3})
    torch.testing.assert_close(load_network(folder, allow_pickle=True).scores(values, valid), expected)


def _state(folder):
    from safetensors.torch import load_file

    return load_file(folder.path / "weights.safetensors")


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_keys_and_shapes_that_differ_are_listed(tmp_path, make_spec, saved, change):
    state = _state(saved)
    key = "head.weight"
    if change == "missing":
        del state[key]
    elif change == "extra":
        state[key := "surprise.weight"] = torch.zeros(1)
    else:
        state[key] = torch.zeros(1, 2, 3)
    folder = pickled(tmp_path, make_spec, state)
    with pytest.raises(ModelMismatchError) as refused:
        load_network(folder, allow_pickle=True)
    assert key in refused.value.given
    assert refused.value.exit_code == 2


def test_weights_that_are_not_finite_are_refused(tmp_path, make_spec, saved):
    state = _state(saved)
    state["head.weight"].view(-1)[0] = torch.nan
    with pytest.raises(WeightsError, match="NaN"):
        load_network(pickled(tmp_path, make_spec, state), allow_pickle=True)


def test_garbage_with_the_right_checksum_is_refused(tmp_path, make_spec):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\xff" * 1000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    spec = make_spec(weights=WeightsRef(path.name, digest, 1000, path.name, "safetensors"))
    with pytest.raises(WeightsError):
        load_network(ModelFolder(tmp_path, spec))


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "geoseg:unknown"},
        {"architecture": "nowhere:Unet"},
        {"architecture": "Unet"},
        {"hyperparameters": {"widths": [4, 4, 4], "strange": 1}},
        {"hyperparameters": {"widths": [4, 4, 4], "in_channels": 3}},
        {"hyperparameters": {"widths": [4, 4, 4], "classes": 3}},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(make_spec, change):
    with pytest.raises(ModelSpecError):
        build(make_spec(**change))
