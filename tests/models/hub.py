"""A stand-in for a hub of models, on this machine: commits, lists with digests, files by commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.server import Exchange, FaultServer, Rule, serving

_LARGE_BYTES = 8_000


@dataclass
class Hub:
    """What is pushed to it is what it has; ``answers`` stand in for the list of a repository."""

    server: FaultServer
    commits: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)

    def push(self, name: str, folder: Path, revision: str = "main") -> str:
        """Make the files of a folder a new commit; gives its name."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        commit = hashlib.sha1(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()
        for path in files:
            target = self.server.root / name / "resolve" / commit / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        self.commits[f"{name}/revision/{revision}"] = commit
        self.commits[f"{name}/revision/{commit}"] = commit
        return commit

    def answer(self, exchange: Exchange) -> None:
        """What ``/api/models`` says."""
        asked = exchange.request.path.removeprefix("/api/models/")
        name = asked.partition("/revision/")[0]
        if name in self.refusals:
            code, error = self.refusals[name]
            exchange.answer(code, b"{}", {"X-Error-Code": error})
            return
        if asked not in self.commits:
            known = any(key.startswith(f"{name}/") for key in self.commits)
            error = "RevisionNotFound" if known else "RepoNotFound"
            exchange.answer(404, b"{}", {"X-Error-Code": error})
            return
        commit = self.commits[asked]
        folder = self.server.root / name / "resolve" / commit
        siblings = [_listed(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        document = {"id": name, "modelId": name, "sha": commit, "siblings": siblings}
        exchange.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def paths(self) -> list[str]:
        """What was asked so far; files by their names."""
        return [seen.request.path.rpartition("/")[2] for seen in self.server.seen]


def _listed(path: Path, folder: Path) -> dict[str, object]:
    content = path.read_bytes()
    entry = {
        "rfilename": path.relative_to(folder).as_posix(),
        "size": len(content),
        "blobId": hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest(),
    }
    if len(content) > _LARGE_BYTES:
        digest = hashlib.sha256(content).hexdigest()
        entry |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(content), "pointerSize": 130}}
    return entry


@contextmanager
def serving_hub(root: Path) -> Iterator[Hub]:
    """A hub while this lasts."""
    with serving(root) as server:
        hub = Hub(server)
        server.add(Rule(hub.answer, lambda request: request.path.startswith("/api/models/"), times=None))
        yield hub
