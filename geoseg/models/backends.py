"""What runs a network: torch, or OpenVINO or ONNX Runtime on a processor.

Chosen before anything is computed, by a short measurement. Importing this module imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from geoseg.errors import RequestError
from geoseg.models.exports.record import (
    Export,
    Profile,
    find_export,
    has_onnxruntime,
    has_openvino,
    has_torch,
)
from geoseg.models.exports.running import run_export
from geoseg.models.folder import ModelFolder
from geoseg.models.spec import SEMANTIC, ModelSpec
from geoseg.models.timing import TITLES, Bench, check_torch

if TYPE_CHECKING:
    from geoseg.models.exports.onnx_network import OnnxNetwork
    from geoseg.models.exports.openvino_network import OpenVinoNetwork
    from geoseg.models.network import Network

    type AnyNetwork = Network | OpenVinoNetwork | OnnxNetwork

Wanted = Literal["auto", "torch", "openvino", "onnx"]

#: Torch must be so much quicker to be taken: it takes seconds and half a gigabyte to load.
_WORTH_LOADING = 1.05


@dataclass(frozen=True, slots=True)
class Choice:
    """What a job is computed with: of a backend all that stands in the keys of its tiles.

    Attributes:
        name: ``torch``, ``openvino`` or ``onnx``.
        device: ``cpu`` or ``cuda``.
        precision: Such as ``float32``; with the digest of the export, where one is run.
    """

    name: str
    device: str
    precision: str

    def describe(self) -> str:
        """In words."""
        return f"{self.name} on {self.device} ({self.precision})"


@dataclass(frozen=True)
class Backend:
    """What runs a model's network on this machine.

    Attributes:
        name: ``torch``, ``openvino`` or ``onnx``.
        device: ``cpu`` or ``cuda``.
        profile: ``exact``, ``bf16`` or ``int8``.
        export: The network as others than torch know it.
        why: What it was chosen by, in words; empty where it was asked for.
        mpx_per_s: How fast it was when it was timed on this machine, with all threads.
    """

    name: str
    device: str
    profile: Profile
    export: Export | None = None
    why: str = ""
    mpx_per_s: float | None = None

    @property
    def key(self) -> str:
        """As it stands in a tile's key."""
        return f"{self.name}-{self.device}"

    @property
    def precision(self) -> str:
        """As it stands in a tile's key."""
        if self.export is not None:
            return self.export.precision
        return "float32" if self.profile == "exact" else "bfloat16"

    @property
    def choice(self) -> Choice:
        """What of it a job must keep to, so that its tiles go on to fit together."""
        return Choice(self.name, self.device, self.precision)

    def workspace_bytes_per_px(self, spec: ModelSpec) -> float:
        """Peak of one forward pass, per chip pixel."""
        return spec.workspace_bytes_per_px if self.export is None else self.export.workspace_bytes_per_px

    def load(self, folder: ModelFolder, threads: int, *, allow_pickle: bool = False) -> AnyNetwork:
        """The network, ready to be run.

        Args:
            folder: The model.
            threads: Threads of a pass.
            allow_pickle: As for ``load_network``.
        """
        if self.export is not None:
            return run_export(folder.spec, self.export, threads=threads)
        from geoseg.models.network import load_network  # noqa: PLC0415  # imports torch

        return load_network(folder, self.device, allow_pickle=allow_pickle, bfloat16=self.profile == "bf16")


def is_exported(folder: ModelFolder, wanted: str, profile: Profile) -> bool:
    """Whether a model can be run without its weights: they are in its export."""
    names = _outside_torch(folder, wanted)
    return any(find_export(folder, name, profile) for name in names if profile == "exact" or name == "openvino")


def choose_backend(
    folder: ModelFolder,
    wanted: Wanted,
    device: str,
    profile: Profile,
    threads: int,
    *,
    say: Callable[[str], object] = lambda _: None,
    may_measure: bool = True,
    allow_pickle: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Backend:
    """What runs a model here.

    Args:
        folder: The model.
        wanted: What the user asked for.
        device: ``cpu`` or ``cuda``.
        profile: ``exact``, ``bf16`` or ``int8``.
        threads: Threads that a measurement may use.
        say: Told what takes a while.
        may_measure: Whether an export may be made and timed; the model's weights are at hand then.
        allow_pickle: As for ``load_network``.
        should_stop: Asked while something is made or timed.

    Raises:
        InterruptedRunError: If it is asked to stop.
        RequestError: If what was asked for is not installed, or does not go together.
        ModelMismatchError: If something else than torch was asked for and cannot run the network.
    """
    if device == "cuda":
        _check_cuda(wanted, profile)
        return Backend("torch", device, profile, why=_loss_on_gpu(folder, profile))
    _check_installed(wanted)
    if profile != "exact":
        return _rounded(folder, wanted, profile)
    bench = Bench(folder, threads, say, should_stop, allow_pickle=allow_pickle)
    exports, refusal = _exports(folder, wanted, bench, may_make=may_measure)
    if not exports:
        if wanted == "auto":
            check_torch(folder)
        return Backend("torch", device, profile, why=refusal)
    speeds = bench.speeds(exports, may_measure=may_measure) if wanted == "auto" else {}
    if not speeds:
        return Backend(exports[0].backend, device, profile, exports[0])
    quickest = max(exports, key=lambda export: speeds[export.backend])
    why = ", ".join(f"{TITLES[name]} {speeds[name]:.2f} Mpx/s" for name in sorted(speeds)) + " on this machine"
    if speeds.get("torch", 0.0) > _WORTH_LOADING * speeds[quickest.backend]:
        return Backend("torch", device, profile, None, why, speeds["torch"])
    return Backend(quickest.backend, device, profile, quickest, why, speeds[quickest.backend])


def _exports(folder: ModelFolder, wanted: str, bench: Bench, *, may_make: bool) -> tuple[list[Export], str]:
    """What may be run instead of torch; where there is nothing, why, in words.

    OpenVINO's is made where there is none. One for ONNX Runtime is used where somebody made it, or asks for it.

    Raises:
        RequestError: If one must be run, and cannot be.
        ModelMismatchError: If one must be made, and the network cannot be exported.
    """
    found, refusal = [], ""
    for name in _outside_torch(folder, wanted):
        if name == "onnx" and wanted == "auto":
            export = find_export(folder, "onnx", "exact")
        else:
            export, refusal = bench.export(name, must=wanted == name, may_make=may_make)
            refusal = refusal or "or openvino: the first run times both" * (not may_make)
        found += [] if export is None else [export]
    return found, refusal


def _outside_torch(folder: ModelFolder, wanted: str) -> list[str]:
    """What is installed, may be asked, and runs networks outside torch.

    Raises:
        RequestError: If one must, and cannot run this model's head.
    """
    if folder.spec.head != SEMANTIC:
        if wanted in {"openvino", "onnx"}:
            raise RequestError(
                f"--backend {wanted} for the head {folder.spec.head!r} of {folder.spec.name}",
                "a model with geoseg's own head: those of plug-ins run in torch",
                "use --backend torch",
            )
        return []
    installed = {"openvino": has_openvino(), "onnx": has_onnxruntime()}
    return [name for name, is_there in installed.items() if is_there and wanted in {"auto", name}]


def _check_cuda(wanted: str, profile: str) -> None:
    if wanted in {"openvino", "onnx"}:
        raise RequestError(
            f"--backend {wanted} with --device cuda",
            "a processor: it runs there",
            "use --device cpu, or --backend torch",
        )
    if profile == "int8":
        raise RequestError("--profile int8 on a GPU", "exact or bf16", "use --profile bf16, or --device cpu")


def _loss_on_gpu(folder: ModelFolder, profile: Profile) -> str:
    """What a profile was measured to lose where torch runs it on a GPU, in words; nothing for one that does not round.

    Raises:
        RequestError: If it was not measured, or lost too much: then there is no record.
    """
    if profile == "exact":
        return ""
    measured = find_export(folder, "torch", profile)
    if measured is None:
        raise RequestError(
            f"--profile {profile} for {folder.spec.name} on a GPU",
            "a model whose loss by rounding was measured there",
            f"geoseg models export {folder.spec.name} --profile {profile} --device cuda",
        )
    return measured.agreement.describe()


def _check_installed(wanted: str) -> None:
    """Refuse what is not there.

    Raises:
        RequestError: If it is not.
    """
    missing = {"torch": not has_torch(), "openvino": not has_openvino(), "onnx": not has_onnxruntime()}
    missing["auto"] = all(missing.values())
    if missing[wanted]:
        what = {"auto": "torch or openvino", "onnx": "onnxruntime"}.get(wanted, wanted)
        extra = "torch" if wanted == "auto" else wanted
        raise RequestError(
            f"--backend {wanted}, for which {what} is not installed",
            "something that runs networks",
            f"pip install 'geoseg[{extra}]'",
        )


def _rounded(folder: ModelFolder, wanted: str, profile: Profile) -> Backend:
    """A profile that rounds: what was exported for it, and held against the original then.

    Raises:
        RequestError: If it was not.
    """
    is_asked = wanted in {"auto", "openvino"}
    export = find_export(folder, "openvino", profile) if is_asked and has_openvino() else None
    if export is None:
        raise RequestError(
            f"--profile {profile} for {folder.spec.name}" + f" with --backend {wanted}" * (not is_asked),
            "a model that was exported with this profile and measured, in OpenVINO",
            f"geoseg models export {folder.spec.name} --profile {profile}",
        )
    return Backend("openvino", "cpu", profile, export, why=export.agreement.describe())
