"""The wheel holds what it should, and works away from the checkout; so does an editable install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import geoseg


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(repository)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return folder


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def files_under(folder, prefix):
    """The files of a source folder under the names they should have in the wheel."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {f"{prefix}/{path.relative_to(folder).as_posix()}" for path in paths}


def run_python(*words, cwd, path=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *words], check=False, capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_wheel_holds_both_packages_and_the_workflows_whole(repository, wheel):
    expected = files_under(repository / "geoseg", "geoseg")
    expected |= files_under(repository / "api" / "geoseg_api", "geoseg_api")
    expected |= files_under(repository / "workflows", "geoseg/workflows")
    assert {"geoseg/py.typed", "geoseg_api/py.typed", "geoseg/workflows/demo.yaml"} <= expected
    assert {name for name in names_in(wheel) if ".dist-info/" not in name} == expected


def test_wheel_carries_the_library_of_the_map_page_once_it_is_there(repository, wheel):
    """It is no part of the repository, so that a build that follows git's rules would leave it out."""
    library = files_under(repository / "api" / "geoseg_api" / "page" / "vendor", "geoseg_api/page/vendor")
    if not library:
        pytest.skip("needs the library of the map page: make page")
    assert {"geoseg_api/page/vendor/maplibre-gl.mjs", "geoseg_api/page/vendor/LICENSE.txt"} <= library
    assert library <= names_in(wheel)


def test_wheel_puts_no_other_name_into_site_packages(wheel):
    tops = {name.split("/")[0] for name in names_in(wheel)}
    assert tops == {"geoseg", "geoseg_api", f"geoseg-{geoseg.__version__}.dist-info"}


def test_wheel_carries_its_licence(wheel):
    assert f"geoseg-{geoseg.__version__}.dist-info/licenses/LICENSE" in names_in(wheel)


def test_installed_wheel_uses_its_own_files(installed, tmp_path):
    code = "import geoseg, geoseg_api, geoseg.spec as s; print(geoseg.__file__, geoseg_api.__file__, s.workflow_folder(), sep='\\n')"
    lines = run_python("-c", code, cwd=tmp_path, path=installed).splitlines()
    assert lines == [
        str(installed / "geoseg" / "__init__.py"),
        str(installed / "geoseg_api" / "__init__.py"),
        str(installed / "geoseg" / "workflows"),
    ]


def test_installed_wheel_answers_on_the_command_line(installed, tmp_path):
    assert "run" in run_python("-m", "geoseg", "--help", cwd=tmp_path, path=installed)
    assert geoseg.__version__ in run_python("-m", "geoseg", "--version", cwd=tmp_path, path=installed)


def test_installed_wheel_has_the_command(installed):
    assert os.access(installed / "bin" / "geoseg", os.X_OK)


def test_a_bundle_is_packed_and_checked_from_the_wheel(installed, tmp_path):
    """A wheel has no constraints: the versions are those that are installed. The sample is small, to be quick."""
    small = "from geoseg.bundle import packing as p; p._SAMPLE_PX = (128, 128); p._SAMPLE_UAV_PX = (256, 256)"
    words = ["bundle", "office", "--workflow", "demo"]
    code = f"{small}; from geoseg.cli import main; main({words!r})"
    assert "demo-landcover" in run_python("-c", code, cwd=tmp_path, path=installed)
    assert "whole" in run_python("-m", "geoseg", "bundle", "check", "office", cwd=tmp_path, path=installed)
    pins = dict(line.split("==") for line in (tmp_path / "office/constraints.txt").read_text().splitlines()[1:])
    wanted = [r for line in distribution("geoseg").requires if (r := Requirement(line)).marker is None]
    assert len(wanted) > 20
    assert {canonicalize_name(r.name): pins.get(canonicalize_name(r.name)) for r in wanted} == {
        canonicalize_name(r.name): distribution(r.name).version for r in wanted
    }


def test_a_plug_in_beside_the_wheel_is_found(repository, installed, tmp_path):
    path = os.pathsep.join([str(installed), str(repository / "tests" / "plugins" / "toy")])
    code = "from geoseg.heads import head_names as h; from geoseg.scenes.recognise import sensor_names as s; print(h(), s())"
    found = run_python("-c", code, cwd=tmp_path, path=path)
    assert "brightness" in found
    assert "toy" in found


def test_geoseg_adds_nothing_to_its_own_groups(installed):
    """What is its own needs no entry point, and would clash with itself."""
    assert [(e.group, e.name) for e in next(distributions(path=[str(installed)])).entry_points] == [
        ("console_scripts", "geoseg")
    ]


def test_editable_install_sees_the_workflows_of_the_checkout(repository, tmp_path):
    place = json.loads(distribution("geoseg").read_text("direct_url.json") or "{}").get("url", "")
    if place != repository.as_uri():
        pytest.skip("the editable install is that of another checkout")
    code = "import geoseg_api, geoseg.spec as s; print(s.workflow_folder().resolve())"
    assert run_python("-c", code, cwd=tmp_path) == str((repository / "workflows").resolve())
