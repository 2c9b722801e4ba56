"""How fast a model is on this machine, measured once and remembered in the cache.

Importing this module imports nothing that runs networks.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from geoseg.errors import GeosegError, InterruptedRunError, ModelMismatchError, RequestError
from geoseg.models.exports.record import Export, find_export, has_torch
from geoseg.models.exports.trials import export_apart, speeds_apart
from geoseg.models.folder import ModelFolder

#: Backends as people call them.
TITLES = {"torch": "torch", "openvino": "OpenVINO", "onnx": "ONNX Runtime"}


class Bench:
    """Makes and times exports, once for each model and machine.

    Args:
        folder: The model.
        threads: Threads that a measurement may use.
        say: Told what takes a while.
        allow_pickle: As for ``load_network``.
        should_stop: Asked while something is made or timed.
    """

    def __init__(
        self,
        folder: ModelFolder,
        threads: int,
        say: Callable[[str], object],
        should_stop: Callable[[], bool],
        *,
        allow_pickle: bool,
    ) -> None:
        self._folder, self._threads, self._say = folder, threads, say
        self._should_stop, self._allow_pickle = should_stop, allow_pickle
        self._notes = _Notes(folder.cache)
        self._name = f"{folder.spec.digest[:32]} {_machine(threads)}"

    def export(self, backend: str, *, must: bool, may_make: bool) -> tuple[Export | None, str]:
        """The model's export for a backend, made where there is none; or why there is none.

        Raises:
            RequestError: If one must be made, or nothing else could run the model, and there is no torch.
            ModelMismatchError: If one must be made, and the backend cannot be given the network.
        """
        found = find_export(self._folder, backend, "exact")
        refusal = str(self._notes.get(self._name).get("refused", ""))
        if found is not None or not (must or (may_make and not refusal)):
            return found, refusal
        check_torch(self._folder)
        self._say(f"converting {self._folder.spec.name} for {TITLES[backend]}, once")
        try:
            export = export_apart(
                self._folder,
                "exact",
                backend=backend,
                allow_pickle=self._allow_pickle,
                should_stop=self._should_stop,
            )
        except GeosegError as err:
            if must or isinstance(err, InterruptedRunError):
                raise
            if isinstance(err, ModelMismatchError):  # it would be the same the next time
                self._notes.put(self._name, {"refused": err.given})
            return None, err.given
        return export, ""

    def speeds(self, exports: Sequence[Export], *, may_measure: bool) -> dict[str, float]:
        """Megapixels a second of the exports, and of torch where it is installed.

        Nothing where there is no choice, or where they are not known and must not be measured.
        """
        names = [export.backend for export in exports] + ["torch"] * has_torch()
        known = self._notes.get(self._name)
        if len(names) > 1 and may_measure and not known.keys() >= set(names):
            self._say(f"timing {self._folder.spec.name} in {' and '.join(TITLES[name] for name in names)}, once")
            known = speeds_apart(
                self._folder,
                exports,
                self._threads,
                allow_pickle=self._allow_pickle,
                should_stop=self._should_stop,
            )
            self._notes.put(self._name, known)
        return {name: known[name] for name in names} if len(names) > 1 and known.keys() >= set(names) else {}


def check_torch(folder: ModelFolder) -> None:
    """Refuse a model without an export where nothing else could run it.

    Raises:
        RequestError: If there is no torch.
    """
    if not has_torch():
        raise RequestError(
            f"the model {folder.spec.name}, which was not exported, on a machine without torch",
            "an export of it, or torch to make one",
            f"on a machine with torch: geoseg models export {folder.spec.name} --to FOLDER, and use that folder as --model",
        )


def _machine(threads: int) -> str:
    """What a measurement holds for: the processor, how much of it, and the libraries."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return " ".join([model, str(threads), *(_version(name) for name in ("torch", "openvino", "onnxruntime"))])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


class _Notes:
    """What was measured on this machine, by model and machine, in the cache."""

    def __init__(self, cache: Path | None) -> None:
        self._path = None if cache is None else cache / "backends.json"

    def get(self, name: str) -> dict[str, Any]:
        """What is known; nothing where nothing is."""
        return dict(self._read().get(name, {}))

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        with suppress(OSError, ValueError):
            known = json.loads(self._path.read_text())
            return known if isinstance(known, dict) else {}
        return {}

    def put(self, name: str, facts: dict[str, Any]) -> None:
        """Remember, beside what is known; a cache that cannot be written is no reason to fail."""
        if self._path is None:
            return
        temporary = self._path.with_name(f".backends.{os.getpid()}.part")
        with suppress(OSError, GeosegError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(
                json.dumps({**self._read(), name: {**self.get(name), **facts}}, indent=1, sort_keys=True)
            )
            temporary.replace(self._path)
