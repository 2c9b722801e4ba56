"""The shell completes names that are on this machine, at once: no network, no torch, no plug-in is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import worlds

from geoseg.cli import completion
from geoseg.scenes import SENSORS
from geoseg.spec import JobSpec, Rule, list_workflows

TOY = Path(__file__).parent.parent / "plugins" / "toy"
# Ends the process when something is imported that completion must do without.
GUARD = """
import sys
class _Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchgeo", "toy_geoseg", "pystac_client"}:
            print("imported", name); sys.stdout.flush(); import os; os._exit(9)
sys.meta_path.insert(0, _Guard())
import socket
def _closed(*_, **__):
    print("asked the network"); sys.stdout.flush(); import os; os._exit(9)
socket.socket.connect = socket.getaddrinfo = _closed
"""


def complete(line: str, tmp_path: Path, **variables: str) -> list[str]:
    """What bash is offered for a line whose cursor stands at its end."""
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    words = line.split(" ")
    path = os.pathsep.join([str(tmp_path), str(TOY), os.environ.get("PYTHONPATH", "")])
    asked = {"_GEOSEG_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from geoseg.cli import main; main()"],
        check=False, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, **asked, **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_names_of_models_are_those_of_this_machine(tmp_path):
    worlds.finite_model(tmp_path / "models" / "tiny")
    (tmp_path / "models" / "broken").mkdir()
    (tmp_path / "models" / "broken" / "item.json").write_text("{}")
    found = complete("geoseg run --model ", tmp_path, GEOSEG_MODELS=str(tmp_path / "models"))
    assert {"demo-landcover", "demo-uav", "dynamic-world", "tiny"} <= set(found)
    assert "broken" not in found


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("geoseg run --model demo-l", ["demo-landcover"]),
        ("geoseg plan --workflow d", ["demo"]),
        ("geoseg run --sensor to", ["toy"]),
        ("geoseg run --aoi x --layers entropy,m", ["entropy,margin"]),
        ("geoseg bundle office.zip --workflow la", ["landcover", "landslide"]),
    ],
)
def test_a_word_is_completed(tmp_path, line, names):
    assert complete(line, tmp_path) == names


def test_a_broken_setting_is_no_noise_in_a_line(tmp_path):
    assert complete("geoseg run --model d", tmp_path, GEOSEG_MAX_MEMORY="lots") == []


def test_every_name_is_offered(monkeypatch):
    monkeypatch.setattr(completion, "_be_silent", lambda: None)

    def names(offered: completion.Completions) -> set[str]:
        return {name for name, _ in offered}

    assert names(completion.workflows("")) == set(list_workflows())
    assert names(completion.rules("")) == set(get_args(Rule))
    assert names(completion.sensors("")) == set(SENSORS)
    assert {"sentinel-2-l2a", "landsat-c2-l2", "naip", "cop-dem-glo-30"} <= names(completion.collections(""))
    for field, complete_words in (("format", completion.formats), ("layers", completion.layers)):
        words = get_args(get_args(JobSpec.model_fields[field].annotation)[0])
        assert names(complete_words("")) == set(words)
        assert names(complete_words(f"{words[0]},")) == {f"{words[0]},{word}" for word in words[1:]}
        assert complete_words("nothing,x") == []
