"""``sample.json``: what was drawn from which map, and with which weights. The one value that the labels are read against."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from geoseg.errors import RequestError
from geoseg.outputs.files import whole_file

DESIGN = "sample.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class LabelClass(_Part):
    """What a sample may be labelled as."""

    name: str
    """Name for people."""
    index: int | None = None
    """Pixel value in the map; none for a class that the map does not have."""
    code: int | None = None
    """Code in the map's legend."""
    colour: str = "#808080"
    """``#rrggbb``."""


class Stratum(_Part):
    """A part of the map from which pixels were drawn at random."""

    name: str
    """In words."""
    class_index: int
    """Class of the map."""
    weight: float = Field(gt=0, le=1)
    """Share of the area of all strata."""
    area_m2: float | None
    """On the ellipsoid; none without a CRS."""
    pixels: NonNegativeInt
    """Pixels of the map."""
    expected_accuracy: float = Field(ge=0, le=1)
    """User's accuracy that the size was reckoned with."""
    samples: NonNegativeInt
    """Pixels drawn."""


class Sample(_Part):
    """A pixel that was drawn."""

    id: int
    """Number in the files, 1 and up; in random order."""
    stratum: NonNegativeInt
    """Position in ``strata``."""
    row: NonNegativeInt
    """Of the map."""
    col: NonNegativeInt
    """Of the map."""


class Grid(_Part):
    """Where the map's pixels are."""

    crs: str | None
    """WKT2; none where rows and columns are the place."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f."""
    shape: tuple[int, int]
    """Rows and columns."""


class Design(_Part):
    """A drawn sample."""

    version: int = 1
    """Of this format."""
    map_key: str
    """Key of the job that made the map."""
    map_title: str
    """What the map is, in words."""
    grid: Grid
    """Of the map."""
    seed: int
    """The same seed draws the same pixels of the same map."""
    standard_error: float | None
    """Of overall accuracy, as it was wanted; none where a number of samples was."""
    low_confidence: int | None
    """Percent below which a class's pixels are a stratum of their own; none where strata are classes."""
    classes: tuple[LabelClass, ...]
    """What a sample may be labelled as."""
    strata: tuple[Stratum, ...]
    """What was drawn from."""
    samples: tuple[Sample, ...]
    """What was drawn, by ``id``."""

    def write(self, folder: Path) -> Path:
        """Write ``sample.json``.

        Raises:
            OutputError: If the file could not be written whole.
        """
        with whole_file(folder / DESIGN) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return folder / DESIGN

    @classmethod
    def read(cls, path: Path) -> Self:
        """The sample that a file describes.

        Raises:
            RequestError: If there is no such file, or it was changed by hand.
        """
        todo = f"name the folder that geoseg assess draw wrote, with its {DESIGN}, or --design FILE"
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as err:
            raise RequestError(f"no {DESIGN} at {path}", "the sample that the labels are of", todo) from err
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RequestError(f"{path}: {where}: {first['msg']}", f"a {DESIGN} as it was written", todo) from err
