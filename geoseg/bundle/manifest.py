"""What a bundle says that it holds."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt

from geoseg.models.licences import LicenceKind

MANIFEST = "manifest.json"
#: A manifest has 150 bytes for each file; something larger is none.
MAX_MANIFEST_BYTES = 16 * 2**20
#: A bundle has some hundred files.
MAX_FILES = 100_000

_OUTSIDE = {"", ".", ".."}


def is_inside(name: str) -> bool:
    """Whether a file's name stays below the folder it counts from, on every system."""
    return not (_OUTSIDE & set(name.split("/")) or re.search(r"[\\:\0]", name))


def _inside(names: dict[str, FileEntry]) -> dict[str, FileEntry]:
    for name in names:
        if not is_inside(name):
            raise ValueError(f"the file name {name!r}")
    return names


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class FileEntry(_Part):
    """A file."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Hex digest of its bytes."""
    bytes: NonNegativeInt
    """Its length."""


class BundledModel(_Part):
    """A model, and on what terms it comes."""

    name: str
    """Name under which it is found: that of its folder below ``models/``."""
    title: str
    """One line for people."""
    licence: str
    """SPDX identifier, or words."""
    attribution: str
    """Line that results must carry; may be empty."""
    source: str
    """Public address of origin."""
    licence_kind: LicenceKind
    """Whether the licence is an open one, which allows passing copies on."""
    needs: str = ""
    """Distribution and version of the plug-in that has its head; it is installed apart."""

    @property
    def warning(self) -> str:
        """What whoever passes the bundle on should know; "" where there is nothing."""
        match self.licence_kind:
            case "non-commercial":
                return f"{self.name} is for non-commercial use only ({self.licence}), and so is what is made with it"
            case "unknown":
                return f"whether {self.name} may be passed on is not known ({self.licence}): read its licence first"
            case "open":
                return ""


class Manifest(_Part):
    """All of a bundle but the manifest itself."""

    bundle_version: Literal[1] = 1
    """Layout of the bundle."""
    geoseg: str
    """Version that made it."""
    models: tuple[BundledModel, ...]
    """By name."""
    files: Annotated[dict[str, FileEntry], AfterValidator(_inside)]
    """By path below the bundle's folder, with ``/`` between its parts."""

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files.values())
