"""The map page's library is taken from one package, and from no other."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
import tarfile

import pytest


@pytest.fixture(scope="module")
def script(repository):
    sys.path.insert(0, str(repository / "api"))
    import page_library

    yield page_library
    sys.path.remove(str(repository / "api"))


@pytest.fixture
def package(script, tmp_path):
    """A package with the wanted files, and others that must not come out."""
    path = tmp_path / "package.tgz"
    names = [f"package/{name}" for name in script.FILES]
    with tarfile.open(path, "w:gz") as tar:
        for name in [*names, "package/dist/maplibre-gl.mjs.map", "package/../../outside.js"]:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return path


def sha512(path):
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def everything_under(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_only_the_files_of_the_page_come_out(script, package, tmp_path):
    script.unpack(package, tmp_path / "in" / "vendor", sha512=sha512(package))
    assert everything_under(tmp_path / "in") == {
        "vendor/LICENSE.txt": "package/LICENSE.txt",
        "vendor/maplibre-gl.css": "package/dist/maplibre-gl.css",
        "vendor/maplibre-gl.mjs": "package/dist/maplibre-gl.mjs",
        "vendor/maplibre-gl-worker.mjs": "package/dist/maplibre-gl-worker.mjs",
    }
    assert not (tmp_path / "outside.js").exists()


def test_another_package_is_refused_and_nothing_of_it_is_written(script, package, tmp_path):
    good = sha512(package)
    package.write_bytes(package.read_bytes() + b"\0")
    with pytest.raises(SystemExit, match=r"given: .*sha512(?s:.)*expected:(?s:.)*to do:"):
        script.unpack(package, tmp_path / "vendor", sha512=good)
    assert not (tmp_path / "vendor").exists()


def test_without_npm_it_says_what_to_do(repository, tmp_path):
    script = repository / "api" / "page_library.py"
    done = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["given", "expected", "to do"]


def test_the_library_is_not_in_the_repository(repository):
    said = subprocess.run(
        ["git", "ls-files", "api/geoseg_api/page/vendor"], check=True, capture_output=True, text=True, cwd=repository
    )
    assert said.stdout == ""
