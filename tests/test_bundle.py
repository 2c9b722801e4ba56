"""A bundle has all that a machine without a network needs, and whatever is not as it was packed is found."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest
import worlds

import geoseg
from geoseg.aoi import AOI
from geoseg.bundle import bundle_name, check_bundle, packing
from geoseg.bundle.words import versions
from geoseg.cli import main
from geoseg.demo.land import write_scene
from geoseg.errors import BundleError, OutputOccupiedError, RequestError, WeightsError
from geoseg.models import ModelFolder, resolve
from geoseg.models.exports.carrying import carry_exports, exports_of
from geoseg.models.exports.record import export_folder
from geoseg.models.registry import BUILTIN

BANDS = ("B02", "B03", "B04")


def command_line(*words: object) -> tuple[int, str, str]:
    """Exit status, what is printed and what is said beside it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0), out.getvalue(), err.getvalue()


@dataclass(frozen=True)
class Packed:
    """A bundle as a ZIP file, the model in it that geoseg does not have, and what was said."""

    archive: Path
    model: ModelFolder
    said: str


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """With a sample of a quarter of its size, to be quick."""
    folder = tmp_path_factory.mktemp("bundle")
    model = worlds.finite_model(
        folder / "models" / "tiny", BANDS, quantity="reflectance", licence="CC-BY-NC-4.0", attribution="(c) Some | body"
    )
    for name in ("LICENSE.txt", "NOTICE", "training-data.csv", ".token"):
        (model.path / name).write_text(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_SAMPLE_PX", (256, 384))
        patch.setattr(packing, "_SAMPLE_UAV_PX", (256, 256))
        status, _, said = command_line("bundle", folder / "office.zip", "--model", model.path)
    assert status == 0, said
    assert [path.name for path in folder.iterdir() if "part" in path.name] == []
    return Packed(folder / "office.zip", model, said)


def test_a_bundle_holds_weights_licences_cards_a_sample_and_versions(packed, repository):
    manifest = check_bundle(packed.archive)
    files = set(manifest.files)
    weights = packed.model.spec.weights.file_name
    assert {f"models/tiny/{name}" for name in ("item.json", weights, "LICENSE.txt", "NOTICE")} <= files
    assert {f"models/demo-landcover/{name}" for name in ("item.json", "model.safetensors", "README.md")} <= files
    assert {"README.md", "NOTICE.md", "constraints.txt", "sample/catalog.json", "sample/region.geojson"} <= files
    assert not [name for name in files if "training" in name or "token" in name], "nothing else of a model's folder"
    with zipfile.ZipFile(packed.archive) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"office"}
        assert archive.read("office/constraints.txt") == (repository / "constraints.txt").read_bytes()
        notice = archive.read("office/NOTICE.md").decode()
        pages = archive.read("office/README.md").decode()
    assert "(c) Some | body" in notice
    assert re.search(r"## tiny\n\n.*CC-BY-NC-4\.0", notice)
    assert "tiny is for non-commercial use only" in pages
    assert "tiny is for non-commercial use only" in packed.said
    assert "demo-landcover is" not in packed.said


@pytest.fixture(scope="module")
def offline() -> list[str]:
    """The start of a command without a network: a namespace of its own where that is allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*words, "true"], check=False, capture_output=True).returncode
    return words if allowed == 0 else []


CLOSED = """
import socket
def _closed(*_, **__):
    raise OSError("the network is off")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = _closed
"""


def without_network(script: str, cwd: Path, offline: list[str], bin_: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script with `geoseg` on the path; where namespaces are not allowed, sockets raise."""
    bin_.mkdir(exist_ok=True)
    (bin_ / "geoseg").write_text(f'#!/bin/sh\nexec {sys.executable} -m geoseg "$@"\n')
    (bin_ / "geoseg").chmod(0o755)
    (bin_ / "sitecustomize.py").write_text("" if offline else CLOSED)
    path = os.pathsep.join([str(bin_), os.environ.get("PYTHONPATH", "")])
    env = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "PYTHONPATH": path,
        "GEOSEG_CACHE": str(bin_ / "cache"),
    }
    return subprocess.run(
        [*offline, "sh", "-euc", script], check=False, capture_output=True, text=True, cwd=cwd, env=env
    )


def test_the_network_is_off_where_the_bundle_is_tried(tmp_path, offline):
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5)"
        done = without_network(f'{sys.executable} -c "{connect}"', tmp_path, offline, tmp_path / "bin")
    assert done.returncode != 0
    assert "OSError" in done.stderr or "Error: [Errno" in done.stderr


@pytest.fixture(scope="module")
def bundle(packed, tmp_path_factory) -> Path:
    """The bundle, unpacked elsewhere."""
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(packed.archive), str(folder)], check=True)
    return folder / "office"


def test_without_a_network_the_sample_is_mapped_as_with_one(bundle, tmp_path, offline):
    """By the commands of the bundle's README."""
    (commands,) = re.findall(r"```sh\n(.*?)```", (bundle / "README.md").read_text(), re.DOTALL)
    assert "GEOSEG_OFFLINE=1" in commands
    done = without_network(commands, bundle, offline, tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    assert "whole" in done.stdout
    check_bundle(bundle)  # the run left nothing in it
    normal = geoseg.run(
        catalog=str(bundle / "sample/catalog.json"), aoi=str(bundle / "sample/region.geojson"), workflow="demo",
        out=tmp_path / "normal", cache=tmp_path / "cache",
    )  # fmt: skip
    ours = bundle.parent / "sample-map" / "classes.tif"
    assert ours.read_bytes() == (normal.out / "classes.tif").read_bytes()
    assert len(set(worlds.read(ours).flat)) > 2


def test_a_model_of_a_bundle_is_found_by_its_name_and_is_the_same(packed, bundle, tmp_path):
    """With weights that are nowhere else under that name."""
    middle = AOI.read(bundle / "sample/region.geojson").geometry.centroid
    job = {
        "catalog": str(bundle / "sample/catalog.json"), "workflow": "demo",
        "aoi": (middle.x, middle.y, middle.x + 0.006, middle.y + 0.006),
    }  # fmt: skip

    def classes(name: str, **where: object) -> bytes:
        made = geoseg.run(**job, **where, out=tmp_path / f"{name}-map", cache=tmp_path / f"{name}-cache")
        return (made.out / "classes.tif").read_bytes()

    normal = classes("normal", model=str(packed.model.path))
    assert normal == classes("offline", model="tiny", models=(bundle / "models",), offline=True)


def test_missing_weights_and_occupied_places_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOSEG_OFFLINE", "1")
    status, _, said = command_line("bundle", tmp_path / "b.zip")
    assert (status, "dynamic-world" in said) == (WeightsError.exit_code, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    status, _, said = command_line("bundle", tmp_path / "full", "--workflow", "demo")
    assert (status, "mine" in said, "which is there" in said) == (OutputOccupiedError.exit_code, False, True)
    status, _, said = command_line("bundle", tmp_path / "no" / "b", "--workflow", "demo")
    assert (status, str(tmp_path / "no") in said) == (RequestError.exit_code, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


def test_a_model_keeps_the_name_that_it_is_asked_for_by(tmp_path):
    tiny = worlds.finite_model(tmp_path / "any")
    assert bundle_name("hf:org/tiny", tiny) == bundle_name("models/any", tiny) == "tiny"
    assert bundle_name("any", tiny) == "any"
    assert bundle_name("demo-landcover", resolve("demo-landcover")) == "demo-landcover"
    with pytest.raises(RequestError, match="geoseg's own"):
        bundle_name("demo-uav", tiny)


def test_a_wheel_has_the_versions_of_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(geoseg, "__file__", str(tmp_path / "geoseg" / "__init__.py"))
    lines = dict(line.split("==") for line in versions().splitlines() if "==" in line)
    assert lines["numpy"] == version("numpy")
    assert lines["odc-stac"] == version("odc-stac")
    assert lines["torch"] == version("torch")
    assert not {"geoseg", "pytest", "ruff"} & set(lines)


FILES = {"models/m/item.json": b"{}", "models/m/w.bin": b"0123456789", "README.md": b"words"}


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    entries = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in files.items()}
    document = {"bundle_version": 1, "geoseg": "0", "models": [], "files": entries}
    return json.dumps(document, separators=(",", ":")).encode()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, members: Mapping[str, bytes], mode: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo("placeholder")
            member.filename = name  # as it is, whatever zipfile thinks of it
            member.external_attr = (mode | 0o644) << 16 if name.endswith("w.bin") else 0
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return path


def bundle_files(changed: Mapping[str, bytes | None]) -> dict[str, bytes]:
    files = {**FILES, "manifest.json": manifest_of(FILES), **changed}
    return {name: content for name, content in files.items() if content is not None}


DAMAGES = {
    "missing": ({"models/m/w.bin": None}, "models/m/w.bin is missing"),
    "altered": ({"models/m/w.bin": b"0123456780"}, "models/m/w.bin is altered"),
    "cut": ({"models/m/w.bin": b"012345678"}, "has 9 bytes instead of 10"),
    "large": ({"models/m/w.bin": bytes(10_000_000)}, "has 10,000,000 bytes instead of 10"),
    "added": ({"models/x/item.json": b"{}"}, "models/x/item.json is not in the manifest"),
    "no JSON": ({"manifest.json": b"words"}, "manifest.json"),
    "another version": ({"manifest.json": manifest_of(FILES).replace(b":1,", b":2,")}, "manifest.json"),
    "no digest": ({"manifest.json": manifest_of(FILES).replace(b'"sha256":"', b'"sha256":"x')}, "manifest.json"),
    "names outside": ({"manifest.json": manifest_of({"../x": b""})}, "the file name '../x'"),
    "absolute names": ({"manifest.json": manifest_of({"/etc/x": b""})}, "the file name '/etc/x'"),
}


@pytest.mark.parametrize("kind", ["folder", "archive"])
@pytest.mark.parametrize(("changed", "words"), DAMAGES.values(), ids=DAMAGES)
def test_whatever_differs_from_the_manifest_is_named(tmp_path, kind, changed, words):
    def bundle(name: str, files: Mapping[str, bytes]) -> Path:
        if kind == "folder":
            return write_folder(tmp_path / name, files)
        return write_archive(tmp_path / f"{name}.zip", {f"b/{n}": content for n, content in files.items()})

    assert set(check_bundle(bundle("good", bundle_files({}))).files) == set(FILES)
    with pytest.raises(BundleError) as refused:
        check_bundle(bundle("bad", bundle_files(changed)))
    assert words in str(refused.value)
    assert refused.value.exit_code == 1


@pytest.mark.fault(91)
def test_a_link_is_no_file_of_a_bundle(tmp_path):
    folder = write_folder(tmp_path / "b", bundle_files({}))
    target = tmp_path / "elsewhere"
    target.write_bytes(FILES["models/m/w.bin"])
    (folder / "models/m/w.bin").unlink()
    (folder / "models/m/w.bin").symlink_to(target)
    with pytest.raises(BundleError, match=r"w\.bin is no plain file"):
        check_bundle(folder)
    with pytest.raises(BundleError, match=r"w\.bin is no plain file"):
        check_bundle(
            write_archive(tmp_path / "b.zip", {f"b/{n}": c for n, c in bundle_files({}).items()}, stat.S_IFLNK)
        )


EVIL = ["../x", "/x", "b/../../x", "C:\\x", "b\\..\\x", "b//x", "b/./x", "b/x:y"]


@pytest.mark.fault(91)
@pytest.mark.parametrize(
    ("name", "words"),
    [*((name, "lies outside") for name in EVIL), ("x", "in no folder"), ("c/x", "more than one folder")],
)
def test_members_that_lie_elsewhere_are_refused_and_not_read(tmp_path, name, words):
    members = {f"b/{n}": content for n, content in bundle_files({}).items()}
    with pytest.raises(BundleError) as refused:
        check_bundle(write_archive(tmp_path / "b.zip", {**members, name: b"evil"}))
    assert words in refused.value.given


@pytest.mark.fault(91)
def test_a_member_that_would_fill_the_disk_is_refused_and_not_read(tmp_path, monkeypatch):
    """20 MB of zeros, of which the manifest says nothing wrong."""
    files = {**FILES, "models/m/zeros.bin": bytes(20 * 2**20)}
    members = {f"b/{name}": content for name, content in {**files, "manifest.json": manifest_of(files)}.items()}
    path = write_archive(tmp_path / "b.zip", members)
    assert path.stat().st_size < 100_000
    read, opened = [], zipfile.ZipFile.open

    def watched(archive, member, *words, **options):
        read.append(member.filename)
        return opened(archive, member, *words, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", watched)
    with pytest.raises(BundleError) as refused:
        check_bundle(path)
    assert "zeros.bin would grow more than 200-fold" in refused.value.given
    assert "b/models/m/w.bin" in read
    assert "b/models/m/zeros.bin" not in read


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path):
    path = write_archive(tmp_path / "b.zip", {f"b/{n}": content for n, content in bundle_files({}).items()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/models/m/w.bin", b"9876543210")
    with pytest.raises(BundleError, match="there twice"):
        check_bundle(path)


def test_a_torn_archive_is_told_from_none(tmp_path):
    path = write_archive(tmp_path / "b.zip", {f"b/{n}": content for n, content in bundle_files({}).items()})
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("b/models/m/w.bin").header_offset
    whole[start + 50] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(BundleError, match=r"w\.bin (cannot be read|is altered)"):
        check_bundle(path)
    path.write_bytes(whole[:100])
    with pytest.raises(RequestError, match="a bundle"):
        check_bundle(path)


@pytest.mark.parametrize("kind", ["nothing", "text", "folder", "archive"])
def test_what_is_no_bundle_is_refused(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "text":
        place.write_text("words")
    elif kind == "folder":
        place.mkdir()
    elif kind == "archive":
        write_archive(place, {"a/b.json": json.dumps({}).encode()})
    status, _, said = command_line("bundle", "check", place)
    assert status == 2
    assert len(said.splitlines()) == 3
    assert str(place) in said


# Exports


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The shipped model with its export under a name that geoseg has not."""
    folder = tmp_path_factory.mktemp("exported") / "mine"
    shutil.copytree(BUILTIN / "demo-landcover", folder)
    return ModelFolder.open(folder)


WITHOUT_TORCH = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find_spec(name, *rest)
sys.modules["torch"] = None
from geoseg.cli import main
sys.exit(main())
"""


def test_a_bundle_takes_exports_along_so_that_its_models_run_without_torch(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "write_demo", lambda folder, **_: folder.mkdir())
    cached = replace(mine, cache=tmp_path / "cache")
    elsewhere = export_folder(cached, "openvino", "exact")
    elsewhere.parent.mkdir(parents=True)
    shutil.move(mine.path / "exports" / "openvino-exact", elsewhere)  # as runs keep them
    manifest = packing.make_bundle(tmp_path / "office", {"mine": cached})
    shutil.move(elsewhere, mine.path / "exports" / "openvino-exact")
    assert check_bundle(tmp_path / "office") == manifest
    kept = "models/mine/exports/openvino-exact"
    assert {f"{kept}/{name}" for name in ("export.json", "model.bin", "model.xml")} <= set(manifest.files)
    land = write_scene(tmp_path / "land.tif", mine.spec.bands, 256)
    words = [sys.executable, "-c", WITHOUT_TORCH, "run", "--scenes", str(land), "--model", "mine", "--quiet"]
    where = {"GEOSEG_MODELS": str(tmp_path / "office" / "models"), "GEOSEG_CACHE": str(tmp_path / "own-cache")}
    where["GEOSEG_BACKEND"] = "auto"
    subprocess.run([*words, "--out", str(tmp_path / "map")], check=True, env={**os.environ, **where})
    assert geoseg.Result.open(tmp_path / "map").report["settings"]["backend"] == "openvino"


def test_an_altered_export_is_not_packed(mine, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "write_demo", lambda folder, **_: folder.mkdir())
    shutil.copytree(mine.path, tmp_path / "mine")
    with (tmp_path / "mine" / "exports" / "openvino-exact" / "model.bin").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError) as refused:
        packing.make_bundle(tmp_path / "office", {"mine": ModelFolder.open(tmp_path / "mine")})
    assert "geoseg models export" in refused.value.todo
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_export_of_another_version_of_a_model_stays_behind(mine, tmp_path):
    shutil.copytree(mine.path, tmp_path / "copy", ignore=shutil.ignore_patterns("exports"))
    item = json.loads((tmp_path / "copy" / "item.json").read_text())
    copy = ModelFolder.open(tmp_path / "copy")
    assert [export.backend for export in carry_exports(mine, copy)] == ["openvino"]
    assert [export.path for export in exports_of(copy)] == [copy.path / "exports" / "openvino-exact"]
    shutil.rmtree(tmp_path / "copy" / "exports")
    item["properties"]["mlm:hyperparameters"]["geoseg.radius_px"] = [99, 99, 99, 99]
    (tmp_path / "copy" / "item.json").write_text(json.dumps(item))
    assert carry_exports(mine, ModelFolder.open(tmp_path / "copy")) == []
    assert not (tmp_path / "copy" / "exports").exists()
