"""What is known of an export: which model it is of, how far it is from it, what it costs, and its files' checksums."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from geoseg.errors import ModelSpecError, RequestError, WeightsError
from geoseg.models.fetching import temporary_beside
from geoseg.models.folder import ModelFolder
from geoseg.store import RESULTS_VERSION

Profile = Literal["exact", "bf16", "int8"]

#: The folder of exports beside a model's item, and in the cache.
EXPORTS = "exports"
RECORD = "export.json"
_FORMAT = 1
#: All that is read of an export: OpenVINO knows ONNX too, and torch runs the model's own weights.
_FILES: Mapping[str, Sequence[set[str]]] = {
    "openvino": ({"model.xml", "model.bin"}, {"model.onnx"}),
    "onnx": ({"model.onnx"},),
    "torch": (set(),),
}
BACKENDS = tuple(_FILES)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES_PER_PX = 1e9
_PRECISIONS: Mapping[str, str] = {"exact": "float32", "bf16": "bfloat16", "int8": "int8"}
#: What a profile that rounds may lose: share of pixels whose class is another, and of boundaries that lie elsewhere.
MOST_CLASS_LOSS, MOST_BOUNDARY_LOSS = 0.001, 0.01


def has_torch() -> bool:
    """Whether torch is installed; it is not imported."""
    return find_spec("torch") is not None


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return find_spec("openvino") is not None


def has_onnxruntime() -> bool:
    """Whether ONNX Runtime is installed; it is not imported."""
    return find_spec("onnxruntime") is not None


def profile_of(text: str) -> Profile:
    """A profile by its name.

    Raises:
        RequestError: If there is none of that name.
    """
    profile: Profile
    for profile in get_args(Profile):
        if profile == text:
            return profile
    raise RequestError(f"--profile {text}", f"one of {', '.join(get_args(Profile))}", "use one of these")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an export is from the network in torch and float32, on the same pixels.

    Attributes:
        pixels: So many were compared.
        largest_difference: Of two scores.
        classes: Share of pixels with the same class.
        sure_classes: The same, of pixels whose two highest scores differ by more than 1e-5.
        boundaries: F score of boundary pixels, those of the other map up to one pixel away taken as the same.
        images: Where the pixels are from, in words.
    """

    pixels: int
    largest_difference: float
    classes: float
    sure_classes: float
    boundaries: float
    images: str

    def describe(self) -> str:
        """In one line."""
        return (
            f"{self.classes:.4%} of {self.pixels:,} pixels have the same class, {self.boundaries:.4%} of the boundaries "
            f"agree; largest difference of a score {self.largest_difference:.2g}; on {self.images}"
        )


@dataclass(frozen=True)
class Export:
    """A network outside torch, or torch with less precision.

    Attributes:
        path: Its folder.
        backend: What it is for: ``openvino``; ``onnx``, for other programs too; ``torch`` has no files: it is what was
            measured of a profile that rounds where torch runs it, on a GPU.
        profile: ``exact``, ``bf16`` or ``int8``.
        model: Digest of the model's spec, weights included.
        files: Name to SHA-256.
        agreement: With torch in float32.
        workspace_bytes_per_px: Measured peak of one forward pass, per chip pixel.
        made_with: Library to its version.
    """

    path: Path
    backend: str
    profile: Profile
    model: str
    files: Mapping[str, str]
    agreement: Agreement
    workspace_bytes_per_px: float
    made_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """As it stands in a tile's key, with the export itself: that it is of this model is only its own word."""
        return f"{_PRECISIONS[self.profile]} {self.digest[:16]}"

    @property
    def digest(self) -> str:
        """SHA-256 over the checksums of its files."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    def file(self, name: str) -> Path:
        """One of its files, verified.

        Raises:
            WeightsError: If it is missing or altered.
        """
        path = self.path / name
        try:
            found = sha256_of(path)
        except OSError as err:
            raise WeightsError(f"{path}: {err}", "a file of an exported model", _AGAIN) from err
        if found != self.files.get(name):
            raise WeightsError(f"{path} with SHA-256 {found}", f"SHA-256 {self.files.get(name)}", _AGAIN)
        return path

    def _is_sound(self) -> bool:
        """Whether a record from elsewhere says what records say, and names all files that are read and no others."""
        digests: list[Any] = list(self.files.values())  # Any: read from a file of others
        per_px: Any = self.workspace_bytes_per_px
        return (
            set(self.files) in _FILES.get(self.backend, ())
            and self.profile in get_args(Profile)
            and isinstance(per_px, int | float)
            and 0 < per_px < _MOST_BYTES_PER_PX
            and all(isinstance(digest, str) and _SHA256.fullmatch(digest) for digest in digests)
        )

    def write(self) -> None:
        """Write the record beside the files."""
        document = {"format": _FORMAT, "results": RESULTS_VERSION, **asdict(self)}
        del document["path"]
        with temporary_beside(self.path / RECORD) as temporary:
            temporary.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Export:
        """The export in a folder.

        Raises:
            ModelSpecError: If its record is none.
        """
        try:
            document: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if (document.pop("format"), document.pop("results")) != (_FORMAT, RESULTS_VERSION):
                raise ValueError("a record of another version of geoseg")  # noqa: TRY301  # one way out for all of them
            agreement = Agreement(**document.pop("agreement"))
            export = cls(path=folder, agreement=agreement, **document)
            is_sound = export._is_sound()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
            raise ModelSpecError(f"{folder / RECORD}: {err}", "the record of an exported model", _AGAIN) from err
        if not is_sound:
            raise ModelSpecError(f"{folder / RECORD}, which cannot be", "the record of an exported model", _AGAIN)
        return export


_AGAIN = "make it again: geoseg models export MODEL"


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export_folder(folder: ModelFolder, backend: str, profile: str) -> Path | None:
    """Where exports of a model are kept that are made on this machine; ``None`` where there is no cache."""
    return None if folder.cache is None else folder.cache / EXPORTS / folder.spec.digest[:32] / f"{backend}-{profile}"


def _folders(folder: ModelFolder, backend: str, profile: str) -> Iterator[Path]:
    yield folder.path / EXPORTS / f"{backend}-{profile}"
    if (kept := export_folder(folder, backend, profile)) is not None:
        yield kept


def find_export(folder: ModelFolder, backend: str, profile: Profile) -> Export | None:
    """An export of exactly this model, beside its item or in the cache.

    One of another version of the model or of geoseg, or with a record that is none, is passed over: it is made again.
    """
    for place in _folders(folder, backend, profile):
        if (place / RECORD).is_file():
            try:
                export = Export.read(place)
            except ModelSpecError:
                continue
            if (export.model, export.backend, export.profile) == (folder.spec.digest, backend, profile):
                return export
    return None
