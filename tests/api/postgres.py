"""A PostgreSQL of the tests' own: made by `initdb` as an ordinary user, reachable by a socket file only, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ORDINARY = "nobody"


def programs() -> Path | None:
    """Folder of `initdb` and `pg_ctl`; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@dataclass(frozen=True)
class Cluster:
    """A running server."""

    bin: Path
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&user=geoseg"

    def call(self, program: str, *words: str) -> None:
        command = [str(self.bin / program), *words]
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
            command = ["setpriv", f"--reuid={ORDINARY}", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        self.call(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", mode, "stop")


@contextmanager
def running() -> Iterator[Cluster]:
    """A server for the time of a test session."""
    found = programs()
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="geoseg-pg-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam(ORDINARY)
        os.chown(folder, user.pw_uid, user.pw_gid)
    cluster = Cluster(found, folder)
    try:
        cluster.call("initdb", "-D", str(folder / "data"), "-U", "geoseg", "-A", "trust", "--no-sync")
        cluster.start()
        yield cluster
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
