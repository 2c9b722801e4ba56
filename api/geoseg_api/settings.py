"""Where a service runs and whom it serves. Nothing here changes what a job makes."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from geoseg.errors import RequestError, wrong_value
from geoseg.settings import parse_size


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _size(value: str | int) -> int:
    try:
        return parse_size(value)
    except RequestError as err:
        raise ValueError(err.expected) from err


type Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
type Size = Annotated[int, BeforeValidator(_size)]


class ServiceSettings(BaseSettings):
    """Options of ``geoseg serve`` and ``geoseg worker``, and variables ``GEOSEG_SERVICE_…``.

    Where and how jobs compute is said by ``geoseg.settings.Settings``, from ``GEOSEG_…``, as for ``geoseg run``.
    """

    model_config = SettingsConfigDict(env_prefix="GEOSEG_SERVICE_", extra="ignore", frozen=True, env_ignore_empty=True)

    data: Path = Field(Path("geoseg-service"), description="Folder of the job store, of results and of work at hand.")
    database: str | None = Field(
        None, description="postgresql://… for workers on several machines; default: SQLite in the data folder."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0: any that is free.")
    workers: int = Field(1, ge=0, le=64, description="Worker processes that the server starts; 0: none.")
    root_path: str = Field("", description="Path under which a proxy shows the service, such as /geoseg.")
    public_url: str = Field("", description="Address in links, where it is not the one that a request names.")
    proxies: Words = Field((), description="Addresses of proxies whose X-Forwarded-… headers are believed.")
    with_echo: bool = Field(False, description="Offer the process echo, which conformance tests need.")

    keys: bool | None = Field(
        None,
        description="Whether requests need an API key; default: unless the server listens on loopback, and no proxy or "
        "public address is named.",
    )
    origins: Words = Field((), description="Origins of other sites' pages that may use the service (CORS); none.")

    basemap: str = Field("", description="Tiles below the map page's maps, as https://…/{z}/{x}/{y}.png; none.")
    basemap_credit: str = Field("", description="Whose basemap that is; stands in the corner of the map.")

    allow_hosts: Words = Field(
        (), description="Hosts that jobs may read from although they are not public: NAME or NAME:PORT."
    )
    allow_paths: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_words)] = Field(
        (), description="Folders of this machine whose files requests may name as catalogue, scenes or elevations."
    )
    allow_models: Words = Field(
        (), description="Beginnings of model references that requests may name beside known names, such as hf:ORG/."
    )
    allow_comments: Words = Field((), description="Plug-ins that requests may name as comment.")

    max_body: Size = Field(8 * 2**20, gt=0, description="Largest body of a request in bytes.")
    max_vertices: int = Field(100_000, gt=0, description="Most vertices of a region.")
    max_area_km2: float = Field(100_000.0, gt=0, description="Largest region of a job in square kilometres.")
    max_megapixels: float = Field(20_000.0, gt=0, description="Most pixels of a job in millions.")
    max_queued: int = Field(1000, gt=0, description="Jobs that are accepted or running, of all callers.")
    jobs_in_flight: int = Field(500, gt=0, description="Accepted or running jobs of one caller.")
    km2_per_day: float = Field(1_000_000.0, gt=0, description="Area that one caller may ask for in a day (UTC).")
    requests_per_minute: int = Field(6000, gt=0, description="Requests of one caller.")
    sync_megapixels: float = Field(4.0, ge=0, description="Largest job that is answered at once.")
    sync_seconds: float = Field(60.0, gt=0, description="How long a caller waits before the answer is a job.")
    plan_seconds: float = Field(60.0, gt=0, description="How long the plan of a request may take.")
    value_bytes: Size = Field(4 * 2**20, gt=0, description="Largest GeoJSON that results hold by value.")
    price_per_hour: float | None = Field(None, ge=0, description="What an hour of a worker costs, for the plan's cost.")

    lease_s: float = Field(30.0, gt=0, description="After so long without a sign of life a job goes to another worker.")
    attempts: int = Field(5, ge=1, description="How often a job is begun before it is given up.")
    job_hours: float = Field(24.0, gt=0, description="Longest time that one attempt of a job may take.")
    retention_days: float = Field(30.0, gt=0, description="How long finished jobs and their results are kept.")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("data", mode="after")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("allow_paths", mode="after")
    @classmethod
    def _resolved(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().resolve() for path in paths)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """Whether requests need an API key."""
        is_reached = not self.is_local or bool(self.public_url or self.proxies)
        return is_reached if self.keys is None else self.keys

    @property
    def is_private(self) -> bool:
        """Whether nobody is asked for a key because only this machine is to reach the service."""
        return self.keys is None and not self.needs_keys

    @property
    def kept_s(self) -> float:
        """How long finished jobs are kept, in seconds."""
        return self.retention_days * 86_400

    @property
    def results(self) -> Path:
        """Folder of finished jobs."""
        return self.data / "results"

    @property
    def work(self) -> Path:
        """Folder of jobs that are being computed."""
        return self.data / "work"

    @property
    def demo(self) -> Path:
        """Folder of the embedded catalogue."""
        return self.data / "demo"

    @classmethod
    def with_options(cls, **options: object) -> Self:
        """Settings from the environment, with the options that are not ``None`` on top.

        Raises:
            RequestError: If a value is wrong, or the service would be open to other machines without keys.
        """
        try:
            settings = cls(**{name: value for name, value in options.items() if value is not None})  # type: ignore[arg-type]  # pydantic validates
        except ValidationError as err:
            first = err.errors()[0]
            field = str(first["loc"][0])
            given = options.get(field) is not None
            name = f"--{field.replace('_', '-')}" if given else f"GEOSEG_SERVICE_{field.upper()}"
            raise wrong_value(dict(first), name) from err
        if not settings.needs_keys and not settings.is_local:
            raise RequestError(
                f"--host {settings.host} without API keys",
                "keys, or an address of this machine alone",
                "drop GEOSEG_SERVICE_KEYS=false and make a key with geoseg keys add, or listen on 127.0.0.1",
            )
        return settings

    def as_environment(self) -> dict[str, str]:
        """The settings as variables, for a process that is to have the same ones."""
        found = {}
        for name, value in self.model_dump().items():
            if value is None:
                continue
            words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            found[f"GEOSEG_SERVICE_{name.upper()}"] = words
        return found
