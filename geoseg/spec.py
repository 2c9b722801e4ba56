"""What to make: one frozen, hashable value that the command line, Python and HTTP all build."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from geoseg.aoi import AOI
from geoseg.aoi.examples import read_examples
from geoseg.errors import RequestError, unknown_name, wrong_value
from geoseg.plainfiles import check_words
from geoseg.timerange import in_days, last_twelve_months, parse_time_range

Rule = Literal["first", "least-cloudy", "median", "mean-scores", "per-date"]
DetectorName = Literal[
    "ir-mad",
    "ir-mad-otsu",
    "change-vectors",
    "change-vectors-standardised",
    "change-vectors-fitted",
    "difference",
    "ndvi-difference",
    "post-classification",
]
#: Change where a land cover model sees another class; the other detectors need no model.
POST_CLASSIFICATION = "post-classification"
When = Literal["before", "after"]

# Fields whose option has another name; the other options are called like their fields.
_OPTIONS = {"min_area_m2": "--min-area", "simplify_m": "--simplify"}
_SCENES = ("scenes", "scenes_before", "scenes_after")
# What jobs of two dates do not have: evidence that looks back at an earlier one, and change maps.
_REFUSED_LOOKING_BACK: dict[str, tuple[object, ...]] = {
    "scenes": ((),),
    "datetime": (None,),
    "composite": ("first", "least-cloudy", "median"),
}
_REFUSED_OF_PAIRS: dict[str, tuple[object, ...]] = {
    **_REFUSED_LOOKING_BACK,
    "layers": ((),),
    "evidence": (None,),
    "prompt": ((),),
    "example": (None,),
}
_DATES = ("scenes_before", "scenes_after", "before", "after")
_OF_TWO_DATES = (*_DATES, "detector", "fit", "align", "drop_thin", "max_cloud")


class JobSpec(BaseModel):
    """What a job makes. Every field is an option of ``geoseg run`` and an input of the service.

    Two jobs with equal specs make equal maps; the spec's hash names the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    workflow: str = Field("landcover", description="The named settings this job started from.")
    aoi: dict[str, Any] | None = Field(None, description="Region, as GeoJSON in longitude and latitude.")
    model: str = Field(
        "",
        description="Name, folder or address of the model; of a change map that of the land cover of both dates, or of a "
        "network that looks at both; may be empty there.",
    )
    catalog: str | None = Field(
        None, description="STAC API address, or path of a static catalogue or a stac-geoparquet file."
    )
    collection: str | None = Field(None, description="Collection to search.")
    scenes: tuple[str, ...] = Field(
        (), description="Rasters (files, folders, addresses) to use instead of a catalogue."
    )
    scenes_before: tuple[str, ...] = Field(
        (), description="Rasters of the earlier date of a change map, or of the evidence."
    )
    scenes_after: tuple[str, ...] = Field(
        (), description="Rasters of the later date of a change map; of the evidence that of the map."
    )
    sensor: str | None = Field(None, description="Name in the sensor table; guessed for plain rasters.")
    bands: tuple[str, ...] = Field(
        (),
        description="Names of the bands of --scenes, in the order of the file; with a catalogue the bands that a detector "
        "of change compares.",
    )
    scale: float | None = Field(None, gt=0, description="Value = number x scale + offset, whatever metadata says.")
    offset: float | None = Field(None, description="See scale.")
    pixel_grid: bool = Field(False, description="Map --scenes without a place, in rows and columns.")
    datetime: str | None = Field(None, description="Time range, START/END.")
    before: str | None = Field(
        None,
        description="Time range of the earlier date of a change map, or of the evidence: what plants have lost since.",
    )
    after: str | None = Field(
        None, description="Time range of the later date of a change map; of the evidence that of the map."
    )
    detector: DetectorName | None = Field(None, description="What finds the change between two dates.")
    fit: Literal["scene", "aoi"] = Field(
        "scene", description="Where change is fitted: on all that both dates cover, or on the region alone."
    )
    composite: Rule = Field("least-cloudy", description="How many dates become one image, or a map each.")
    prompt: tuple[str, ...] = Field(
        (), description="Classes in words, each with its synonyms, separated by commas; for text-image models."
    )
    example: dict[str, Any] | None = Field(
        None, description="Outlined examples of classes, as GeoJSON in longitude and latitude with a property prompt."
    )
    without: tuple[Literal["templates", "synonyms", "bias", "generic", "gate", "mixing", "guide", "reject"], ...] = (
        Field((), description="Steps of the prompts' algorithm that are left out.")
    )
    legend: Literal["worldcover"] | None = Field(None, description="Legend of the map instead of the model's own.")
    resolution: float | None = Field(None, gt=0, description="Pixel size in CRS units.")
    crs: str | None = Field(None, description="CRS of the map.")
    like: str | None = Field(None, description="An earlier result whose grid to use.")
    format: tuple[Literal["parquet", "geojson", "fgb", "gpkg", "pmtiles"], ...] = Field(
        ("parquet",),
        description="Files of polygons. GeoParquet is always written, GeoJSON up to 20,000 polygons or where it is named; "
        "FlatGeobuf, GeoPackage and PMTiles where they are named.",
    )
    layers: tuple[Literal["scores", "entropy", "margin", "sets"], ...] = Field(
        (),
        description="Further rasters: the probability of every class, their entropy, the lead of the first choice, and which "
        "classes a pixel may well have, by the class sets that the model was calibrated with.",
    )
    profile: Literal["exact", "bf16", "int8"] = Field(
        "exact",
        description="How exactly the network computes: float32, or quicker ways that were measured and accepted.",
    )
    min_area_m2: float = Field(0.0, ge=0, description="Minimum mapping unit in square metres.")
    simplify_m: float = Field(0.0, ge=0, description="Tolerance of the outlines in metres.")
    align: Literal["correct", "measure"] = Field(
        "correct", description="Whether two dates that lie apart are moved or refused, or taken as they lie."
    )
    drop_thin: bool = Field(
        False, description="Leave out polygons of change that are thinner than twice what the dates lie apart."
    )
    max_cloud: float | None = Field(
        None, ge=0, le=1, description="Most of a polygon of change that may lie beside cloud or shadow of either date."
    )
    evidence: str | None = Field(
        None, description="Rules by which polygons of a landslide class are judged: landslide, or a YAML file."
    )
    dem: str | None = Field(
        None,
        description="Elevations for the evidence: a raster, a folder of rasters, or a collection of the catalogue.",
    )
    comment: str | None = Field(None, description="Plug-in that comments on the evidence of each listed polygon.")

    _moves: bool = PrivateAttr(default=False)

    @field_validator("aoi", mode="before")
    @classmethod
    def _read_aoi(cls, value: Any) -> Any:  # whatever a caller gives; AOI.read refuses what is no region
        return None if value is None else AOI.read(value).to_geojson()

    @field_validator("example", mode="before")
    @classmethod
    def _read_example(cls, value: Any) -> Any:  # as above
        return None if value is None else read_examples(value)

    @field_validator("datetime", mode="after")
    @classmethod
    def _read_datetime(cls, value: str | None) -> str | None:
        parse_time_range(value)
        return value

    @field_validator("before", "after", mode="after")
    @classmethod
    def _read_date(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else in_days(value, f"--{info.field_name}")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_dates(self)
        if not self.model and self.detector in {None, POST_CLASSIFICATION}:
            raise RequestError(
                "no --model", "the name, folder or address of one", "geoseg models list shows every model"
            )
        if self.aoi is None and not (self.scenes or self.scenes_before):
            raise RequestError("neither --aoi nor --scenes", "a region, or rasters to map", "add --aoi region.geojson")
        if self.like and (self.crs or self.resolution):
            raise RequestError("--like with --crs or --resolution", "one of the two", "drop the one you do not mean")
        if self.bands and not (self.scenes or self.scenes_before or self.detector):
            raise RequestError(
                "--bands without --scenes", "rasters whose bands to name", "add --scenes, or drop --bands"
            )
        if self.without and not (self.prompt or self.example):
            raise RequestError("--without and no --prompt", "prompts whose steps to leave out", "drop --without")
        for name in ("dem", "comment"):
            if getattr(self, name) and not self.evidence:
                raise RequestError(
                    f"--{name} without --evidence", "rules that use it", f"add --evidence landslide, or drop --{name}"
                )
        if self.evidence and self.pixel_grid:
            raise RequestError("--evidence with --pixel-grid", "a map with a place on Earth", "drop one of the two")
        return self

    @property
    def region(self) -> AOI | None:
        """The region as a value, or ``None`` for the footprint of the scenes."""
        return None if self.aoi is None else AOI.from_geojson(self.aoi)

    @property
    def has_two_dates(self) -> bool:
        """Whether the job has an earlier and a later date: a change map, or evidence that looks back."""
        return any(getattr(self, name) for name in _DATES)

    @property
    def looks_back(self) -> bool:
        """Whether it is a map of the later of two dates, whose polygons are held against the earlier one."""
        return self.has_two_dates and self.detector is None

    def of_date(self, when: When) -> Self:
        """The job of one of two dates: its classes are those of an ordinary map of that date."""
        earlier = when == "before"
        return self.model_copy(
            update={
                "scenes": self.scenes_before if earlier else self.scenes_after,
                "datetime": self.before if earlier else self.after,
                **{name: JobSpec.model_fields[name].default for name in _OF_TWO_DATES},
            }
        )

    @property
    def moves_with_calendar(self) -> bool:
        """Whether nobody stated the time range: then it is another one next month."""
        return self._moves

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of the spec."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def build(cls, *, default_catalog: str | None = None, today: dt.date | None = None, **options: Any) -> Self:
        """A spec from a workflow and the options that override it.

        Args:
            default_catalog: Catalogue to use where neither the workflow nor the options name one.
            today: The day from which the default time range counts back.
            **options: Fields of the spec; ``None`` and empty tuples leave the workflow's value. ``workflow`` may be a
                name or the path of a YAML file.

        Raises:
            RequestError: If an option is unknown or has a wrong value.
            InvalidAOIError: If the region cannot be read.
        """
        given = {name: _as_typed(name, value) for name, value in options.items() if not _is_nothing(value)}
        for name, value in given.items():
            check_words(option_of(name), value)
            if name not in cls.model_fields:
                raise unknown_name("the field", name, cls.model_fields, "correct the name, or leave it out")
        workflow = str(given.pop("workflow", "prompt" if given.keys() & {"prompt", "example"} else "landcover"))
        fields: dict[str, Any] = {**load_workflow(workflow), **given}
        dated = fields.get("detector") is not None or any(fields.get(name) for name in _DATES)
        moves = not fields.get("scenes") and "datetime" not in fields and not dated
        if any(fields.get(name) for name in _SCENES):
            parse_time_range(
                str(given["datetime"]) if "datetime" in given else None
            )  # what is left out may be wrong all the same
            fields |= {name: _absolute_scenes(fields[name]) for name in _SCENES if fields.get(name)}
            fields.update(catalog=None, collection=None)
            if fields.get("scenes"):
                fields["datetime"] = None
        else:
            catalog = fields.get("catalog") or default_catalog
            fields["catalog"] = _absolute(str(catalog)) if catalog else None
            if moves:
                fields["datetime"] = last_twelve_months(today or dt.datetime.now(tz=dt.UTC).date())
        for name in ("model", "like", "evidence", "dem"):
            # The name of shipped rules is none of a folder that happens to be called so.
            if fields.get(name) and (name != "evidence" or str(fields[name]).endswith((".yaml", ".yml"))):
                fields[name] = _absolute(str(fields[name]))
        try:
            spec = cls(**fields)
        except ValidationError as err:
            first = err.errors()[0]
            field = str(first["loc"][0])
            if field not in given:
                raise wrong_value(dict(first), f"{field} in the workflow {workflow}:") from err
            raise wrong_value(dict(first), option_of(field), f"{field} in Python" if field in _OPTIONS else "") from err
        spec._moves = moves
        return spec


def _check_dates(spec: JobSpec) -> None:
    """Refuse one of two dates without the other, and two dates where nothing compares them."""
    given = [name for name in _OF_TWO_DATES if getattr(spec, name) != JobSpec.model_fields[name].default]
    if spec.detector is None:
        unused = [name for name in given if name not in _DATES or not spec.evidence]
        if unused:
            raise RequestError(
                f"{option_of(unused[0])} without --detector",
                "a change map" if unused[0] not in _DATES else "a change map, or evidence that looks back",
                f"add --workflow change, or drop {option_of(unused[0])}",
            )
        if not given:
            return
    what, refused = ("a change map", _REFUSED_OF_PAIRS) if spec.detector else ("evidence", _REFUSED_LOOKING_BACK)
    pairs = (("scenes_before", "scenes_after"), ("before", "after"))
    whole = [pair for pair in pairs if all(getattr(spec, name) for name in pair)]
    some = [pair for pair in pairs if any(getattr(spec, name) for name in pair)]
    if len(whole) != 1 or some != whole:
        said = " and ".join(option_of(name) for pair in some for name in pair if getattr(spec, name))
        raise RequestError(
            f"{what} with {said or 'no date'}",
            "--before and --after, or --scenes-before and --scenes-after",
            "name both dates, in one of the two ways",
        )
    for name, allowed in refused.items():
        if getattr(spec, name) not in allowed:
            by = "--detector" if spec.detector else option_of(whole[0][0])
            if len(allowed) > 1:
                said = f"{option_of(name)} {getattr(spec, name)} with {by}"
                raise RequestError(said, f"one of {', '.join(map(str, allowed))}", f"choose another {option_of(name)}")
            raise RequestError(f"{option_of(name)} with {by}", f"{what} without it", f"drop {option_of(name)}")
    if spec.legend and not spec.model:
        raise RequestError("--legend without --model", "a land cover model whose classes to rename", "add --model")


def option_of(field: str) -> str:
    """The option of ``geoseg run`` that sets a field, such as ``--min-area``."""
    return _OPTIONS.get(field, "--" + field.replace("_", "-"))


def _is_nothing(value: Any) -> bool:  # whatever a caller gives; tables have no truth value
    return value is None or (isinstance(value, list | tuple) and not value)


def _as_typed(name: str, value: Any) -> Any:  # whatever a caller gives
    """One scene, or names with commas between them, where a field takes several."""
    if name in _SCENES and isinstance(value, str | Path):
        return (str(value),)
    if name == "prompt" and isinstance(value, str):
        return (value,)
    if name in {"bands", "format", "layers", "without"} and isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return value


def _absolute_scenes(scenes: Any) -> Any:  # whatever a caller gives
    if not isinstance(scenes, list | tuple):
        return scenes  # refused with the other values
    if any(
        str(scene) == "" for scene in scenes
    ):  # of a variable that is not set: not the folder that one happens to be in
        raise RequestError("--scenes without a name", "rasters, or folders of them", "name one")
    return tuple(s if "://" in s else str(Path(s).absolute()) for s in map(str, scenes))


def _absolute(reference: str) -> str:
    """Paths that exist become absolute, so that a job's key does not depend on the working folder."""
    if "://" in reference:
        return reference
    return str(Path(reference).absolute()) if _is_there(Path(reference)) else reference


def _is_there(path: Path) -> bool:
    """Whether a file or folder exists; words that no file system takes are none."""
    try:
        return path.exists()
    except OSError:
        return False


def workflow_folder() -> Path:
    """The folder of the shipped workflows, in a wheel or in a checkout."""
    packaged = Path(str(resources.files("geoseg") / "workflows"))
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "workflows"


def list_workflows() -> dict[str, str]:
    """Names of the shipped workflows, with their titles."""
    return {
        p.stem: str(yaml.safe_load(p.read_text()).get("title", "")) for p in sorted(workflow_folder().glob("*.yaml"))
    }


def load_workflow(reference: str) -> dict[str, Any]:
    """The fields that a workflow sets.

    Raises:
        RequestError: If there is no such workflow, or its file is not a table of job fields.
    """
    is_file = reference.endswith((".yaml", ".yml"))
    path = Path(reference) if is_file else workflow_folder() / f"{reference}.yaml"
    if not _is_there(path) or path.is_dir() or (not is_file and path.name != f"{reference}.yaml"):
        names = ", ".join(list_workflows())
        raise RequestError(f"--workflow {reference}", f"one of {names}, or a YAML file", "geoseg run --help lists them")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as err:
        raise RequestError(f"--workflow {path}: {err}", "YAML", "repair the file") from err
    known = set(JobSpec.model_fields) | {"title", "description"}
    if not isinstance(document, dict) or set(document) - known:
        extra = sorted(set(document) - known) if isinstance(document, dict) else [type(document).__name__]
        raise RequestError(
            f"--workflow {path} with {', '.join(extra)}", "fields of a job", f"use {', '.join(sorted(known))}"
        )
    fields = {name: value for name, value in document.items() if name in JobSpec.model_fields}
    return {**fields, "workflow": str(document.get("workflow", path.stem))}
