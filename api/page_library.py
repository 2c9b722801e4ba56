"""Gets the library that the map page draws with: ``make page``.

It is no part of the repository, and neither an installation nor the page fetches it: this script asks npm for one version
of one package, holds the package against a checksum, and takes the few files that the page loads. A wheel carries them.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "maplibre-gl@6.17.0"  # BSD-3-Clause
SHA512 = "2chIZwpLGenoUQOcnm9Pk4SLbA8ppNFq8jlpXiq9vcYm3Y1wJ3fc82FL0GLwBaPYJCLzPv/mC46KEupVov75rQ=="
# Of the package's 60 MB, what a browser loads, and the licence, which comes last: where it lies, all lies.
FILES = ("dist/maplibre-gl.mjs", "dist/maplibre-gl-worker.mjs", "dist/maplibre-gl.css", "LICENSE.txt")
FOLDER = Path(__file__).resolve().parent / "geoseg_api" / "page" / "vendor"


def fetch(folder: Path) -> Path:
    """The package as npm gives it, from whatever registry npm is configured for.

    Args:
        folder: Where the archive is put.

    Raises:
        SystemExit: There is no npm, or it could not get the package.
    """
    if not (npm := shutil.which("npm")):
        raise _stop(
            "no npm on the PATH", "npm, to get the map page's library", "install it, or: make page TARBALL=FILE"
        )
    words = [npm, "pack", PACKAGE, "--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder)  # noqa: S603  # our own words
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no word why"]
        raise _stop(
            f"npm pack {PACKAGE}: {said[0]}", "the package", "see npm config get registry, or: make page TARBALL=FILE"
        )
    return next(folder.glob("*.tgz"))


def unpack(archive: Path, folder: Path, *, sha512: str = SHA512) -> None:
    """Take the files of the page out of the package, if it is the one that was meant.

    Args:
        archive: The package, a gzipped tar as registries keep it.
        folder: Where the files go, without the folders that they have in the package.
        sha512: Checksum of the archive in base64, as lock files of npm write it.

    Raises:
        SystemExit: There is no such file, or it is another package.
    """
    if not archive.is_file():
        raise _stop(str(archive), f"{PACKAGE} as a file", "name the file that npm pack made")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != sha512:
        raise _stop(
            f"{archive.name} with sha512 {found}", sha512, f"do not use it; get {PACKAGE} from a registry you trust"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in FILES:
            source = tar.extractfile(f"package/{name}")
            if source is None:
                raise _stop(f"{archive.name} without {name}", "a file", "look at the package and mend FILES")
            path = folder / Path(name).name
            path.with_suffix(".part").write_bytes(source.read())
            path.with_suffix(".part").replace(path)


def _stop(given: str, expected: str, todo: str) -> SystemExit:
    return SystemExit(f"given:    {given}\nexpected: {expected}\nto do:    {todo}")


def main() -> None:
    """Get the package, or take the file that the first word names, and unpack it."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch(Path(temporary))
        unpack(archive, FOLDER)
    sys.stdout.write(f"{FOLDER}: {PACKAGE}\n")


if __name__ == "__main__":
    main()
