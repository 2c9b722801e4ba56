"""Where a job runs: folders, memory, device. Nothing here changes what is made."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
import psutil
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from geoseg.errors import RequestError, wrong_value
from geoseg.plainfiles import check_words

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"

# Fields whose option has another name; the other options are called like their fields.
_OPTIONS = {"max_area_km2": "--max-area"}
_MOST_BYTES = 2**60
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_size(text: str | int) -> int:
    """Bytes from ``4GB``, ``512MiB``, ``2e9`` or a plain number.

    Raises:
        RequestError: If the text is no size.
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][0-9]+)?)\s*([KMGT]?I?)B?\s*", text, re.IGNORECASE)
    if match is None:
        raise RequestError(f"the size {text!r}", "a number with a unit, such as 4GB or 512MiB", "write it that way")
    size = float(match[1]) * _UNITS[match[2].upper()]
    if size >= _MOST_BYTES:
        raise RequestError(f"the size {text!r}", "less than an exbibyte", "write a smaller one")
    return round(size)


def _size(value: str | int) -> int:
    try:
        return parse_size(value)
    except RequestError as err:
        raise ValueError(err.expected) from err  # the settings know the name under which it was given


def _split_paths(value: object) -> object:
    return tuple(Path(p) for p in value.split(os.pathsep) if p) if isinstance(value, str) else value


def _split_words(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


def default_memory_bytes() -> int:
    """Half of what the machine, or its control group, has free for us; 8 GB at most."""
    limit: int = psutil.virtual_memory().total
    cgroup = Path("/sys/fs/cgroup/memory.max")
    if cgroup.is_file() and (text := cgroup.read_text().strip()).isdigit():
        limit = min(limit, int(text))
    return min(limit // 2, 8 * 10**9)


class Settings(BaseSettings):
    """Options and environment (``GEOSEG_…``) that say where and how a job runs.

    None of these fields is part of a job's key, except through what it makes fixed for a job (backend, threads).
    """

    # A variable that is set to nothing is not set: an empty path would be the working folder.
    model_config = SettingsConfigDict(env_prefix="GEOSEG_", extra="ignore", frozen=True, env_ignore_empty=True)

    out: Path | None = Field(None, description="Output folder; default geoseg-out/<workflow>-<run key>.")
    fresh: bool = Field(False, description="Replace what is in the output folder.")
    update: bool = Field(False, description="Search anew instead of using the items frozen at the job's start.")
    max_memory: Annotated[int, BeforeValidator(_size)] = Field(
        default_factory=default_memory_bytes, description="Upper bound of the process tree's memory in bytes."
    )
    max_failed: float = Field(0.0, ge=0, le=1, description="Share of failed pixels that is still a success.")
    max_area_km2: float = Field(500_000.0, gt=0, description="Largest region that is searched, in square kilometres.")
    max_pixels: int = Field(20_000_000_000, gt=0, description="Most pixels of a map.")
    tile_size: int | None = Field(None, ge=1, description="Side of a tile in pixels, rounded up to whole cells.")
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Worker processes on this machine, where the memory allows; default 1, this process.",
    )
    scheduler: str | None = Field(
        None, description="Address of a dask.distributed scheduler whose workers compute the tiles."
    )
    store: str | None = Field(
        None,
        description="Where finished tiles are kept: a folder, or an address such as s3://bucket/prefix; "
        "default tiles in the cache.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the network runs.")
    backend: Literal["auto", "torch", "openvino", "onnx"] = Field(
        "auto", description="What runs the network; by default what is quicker on this machine."
    )
    cache: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("geoseg"), description="Tile store and fetched weights."
    )
    models: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split_paths)] = Field(
        (), description="Folders searched for model folders and weight files before any download."
    )
    connections: int = Field(8, ge=1, le=64, description="Requests at the same time to one server.")
    sign: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_words)] = Field(
        (),
        description="Servers whose addresses need a signature: PREFIX=TOKEN_ADDRESS, or planetary-computer; "
        "separated by blanks.",
    )
    catalog: str = Field(EARTH_SEARCH, description="Catalogue used when a job names none.")
    offline: bool = Field(
        False, description="Fetch nothing: models, weights, catalogues and files of this machine only."
    )
    max_features: Annotated[int, BeforeValidator(_size)] = Field(
        2 * 10**9, ge=0, description="Most bytes of image features that a run with prompts keeps for later prompts."
    )
    allow_pickle: bool = Field(
        False, description="Read weights that are pickles too; as numbers alone, and only by their checksum."
    )

    @field_validator("sign", mode="after")
    @classmethod
    def _signs(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            prefix, _, desk = rule.partition("=")
            if rule != "planetary-computer" and ("://" not in prefix or "://" not in desk):
                raise ValueError("PREFIX=TOKEN_ADDRESS, or planetary-computer")
        return rules

    @field_validator("store", mode="after")
    @classmethod
    def _place(cls, place: str | None) -> str | None:
        return place if place is None or "://" in place else str(Path(place).expanduser().absolute())

    @field_validator("cache", "out", mode="after")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @classmethod
    def with_options(cls, **options: object) -> Self:
        """Settings from the environment, with the options that are not ``None`` on top."""
        for name, value in options.items():
            check_words(_OPTIONS.get(name, f"--{name.replace('_', '-')}"), value)
        try:
            return cls(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]  # pydantic validates
        except ValidationError as err:
            first = err.errors()[0]
            field = str(first["loc"][0])
            name = (
                _OPTIONS.get(field, f"--{field.replace('_', '-')}")
                if options.get(field) is not None
                else f"GEOSEG_{field.upper()}"
            )
            raise wrong_value(dict(first), name) from err
