"""What the code imports is what pyproject.toml declares; and what an import loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.utils import canonicalize_name

from tests.packaging.requirements import read_project, requirements

# Declared, though no line of ours imports them by name.
NOT_IMPORTED = {
    "dask",  # runs what odc-stac returns
    "pyogrio",  # geopandas reads and writes with it
    "pyproj",  # geopandas and odc-geo project with it; its floor is ours
    "sentencepiece",  # transformers reads tokenizers of TIPSv2 and SigLIP 2 with it
    "s3fs",  # fsspec opens s3:// with it
    "timm",  # segmentation-models-pytorch builds encoders from it; its floor is ours
    "torchvision",  # the release beside torch; torchgeo imports it
}
HEAVY = ("torch", "numba", "rasterio", "geopandas", "pandas", "xarray", "scipy", "pystac_client", "fastapi")

# The rooms about tensors and what runs them; of the models room, all but what reads a model's facts.
WITH_NETWORKS = (
    "geoseg.bench",
    "geoseg.heads.words",
    "geoseg.cluster.",  # what of it needs an extra is behind doors
    "geoseg.models.",
    "geoseg.predict",
    "geoseg.training",
)
FACTS_OF_MODELS = {"geoseg.models.folder", "geoseg.models.registry", "geoseg.models.spec"}


def imported_names(folder):
    """Top-level module names that the files of a folder import, wherever in the file, each with one file that does."""
    names = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            names.update(dict.fromkeys(modules, path))
    return names


def distributions_of(names):
    """Distribution → file, for modules that are neither ours nor Python's."""
    providers = packages_distributions()
    found = {}
    for module, path in names.items():
        root = module.split(".")[0]
        if root in sys.stdlib_module_names or root in {"geoseg", "geoseg_api"}:
            continue
        owners = {canonicalize_name(name) for name in providers.get(root, [root])}
        if len(owners) > 1:  # a namespace such as odc: its second word decides
            owners = {name for name in owners if name == "-".join(module.split(".")[:2])} or owners
        found.update({name: str(path) for name in owners})
    return found


@pytest.fixture(scope="module")
def imported(repository):
    return distributions_of(imported_names(repository / "geoseg") | imported_names(repository / "api"))


def test_everything_imported_is_declared(repository, imported):
    declared = {canonicalize_name(r.name) for r in requirements(read_project(repository), "all")}
    assert {name: path for name, path in imported.items() if name not in declared} == {}


def test_everything_declared_is_imported(repository, imported):
    declared = {canonicalize_name(r.name) for r in requirements(read_project(repository), "all")}
    assert declared - set(imported) - NOT_IMPORTED == set()


def loaded_by(code, cwd):
    """Heavy modules that a fresh interpreter has loaded after some code."""
    report = f"\nimport json, sys\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", code + report], check=False, capture_output=True, text=True, cwd=cwd)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def test_import_geoseg_loads_nothing_heavy(tmp_path):
    assert loaded_by("import geoseg", tmp_path) == []


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]], ids=" ".join)
def test_help_loads_neither_torch_nor_rasterio(tmp_path, words):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['geoseg', *{words!r}]\n"
        "try:\n"
        "    runpy.run_module('geoseg', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
    )
    assert set(loaded_by(code, tmp_path)) & {"torch", "rasterio"} == set()


def test_rooms_without_networks_need_no_extra(repository, tmp_path):
    """The base install reads, joins polygons, writes and answers for help: it has none of the extras."""
    project = read_project(repository)
    base = {canonicalize_name(r.name) for r in requirements(project)}
    extra = {canonicalize_name(r.name) for r in requirements(project, "all")} - base
    modules = [
        module for module, owners in packages_distributions().items() if {canonicalize_name(o) for o in owners} & extra
    ]
    code = (
        "import importlib, pkgutil, sys\n"
        f"sys.modules.update(dict.fromkeys({modules!r}))\n"  # None there makes an import fail
        "import geoseg, geoseg_api\n"
        "for found in pkgutil.walk_packages(geoseg.__path__, 'geoseg.', onerror=lambda name: None):\n"
        "    name = found.name\n"
        f"    if name in {FACTS_OF_MODELS!r} or not name.startswith({WITH_NETWORKS!r}) and not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
