"""Rasters or STAC scenes with labelled polygons, lines, points or boxes; windows are read and drawn when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from geoseg.errors import RequestError, unknown_name
from geoseg.grid import Window
from geoseg.labels.base import IGNORE, Labelled, LabelSet
from geoseg.labels.config import LabelMapping, Strict
from geoseg.labels.features import Features, Meaning, VectorTruth, meaning_of, read_features
from geoseg.labels.files import found
from geoseg.labels.members import Block, Truth
from geoseg.labels.rasters import ImagesConfig, grouped

#: Name of no class.
NOTHING = "ignore"
#: Ends of the names of vector files.
VECTORS = frozenset((
    ".csv", ".fgb", ".geojson", ".geojsonl", ".geoparquet", ".gml", ".gpkg", ".json", ".kml", ".parquet", ".shp", ".sqlite",
))  # fmt: skip


def _as_text(value: object) -> object:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else value


class ScenesConfig(Strict):
    """Items of a STAC catalogue as images, instead of rasters of a folder."""

    catalog: str = Field(description="Address of a STAC API, or path of a static catalogue or one item.")
    collection: str | None = Field(None, description="Collection id. Default: all.")
    datetime: str | None = Field(None, description="Time range START/END.")
    sensor: str | None = Field(None, description="Entry of the sensor table, where the items do not tell it.")
    around_px: int = Field(256, ge=0, description="Pixels of a scene that are kept around its labels.")


class VectorsConfig(ImagesConfig):
    """Images and features with a class each."""

    reader: Literal["vectors"] = "vectors"
    labels: str = Field(
        "labels/*",
        description="Pattern of vector files below path, or of CSV files of boxes in pixels; one may serve all images.",
    )
    layer: str | None = Field(None, description="Layer of the vector files. Default: the first.")
    attribute: str = Field("", description="Field with the class: the name of a class, or one of its values.")
    rename: Annotated[dict[str, str], BeforeValidator(_as_text)] = Field(
        default_factory=dict, description="Value of the field to the name of its class, or to ignore."
    )
    label: str = Field("", description="Class of all features, where there is no attribute.")
    elsewhere: str = Field(
        NOTHING, description="Class of pixels that no feature has; ignore where nothing is known of them."
    )
    all_touched: bool = Field(
        False, description="Whether polygons have every pixel that they touch, instead of those whose centre they have."
    )
    width_m: float | None = Field(None, gt=0, description="Width of lines in metres.")
    area: str = Field("", description="Vector file of what was looked at; nothing is known outside of it.")
    coordinates: Literal["map", "pixels"] = Field("map", description="Whether coordinates are columns and rows.")
    scenes: ScenesConfig | None = Field(None, description="STAC scenes instead of images.")

    @model_validator(mode="after")
    def _one_way(self) -> VectorsConfig:
        if bool(self.attribute) is bool(self.label):
            raise ValueError("either attribute, a field with the class, or label, the class of all features")
        if self.scenes is not None and not self.bands:
            raise ValueError("bands, those to read of the scenes")
        if self.scenes is not None and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError("no scale and no offset with scenes: items state their own")
        return self

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        if not self.classes:
            raise RequestError("vectors without classes", "the legend", "list classes of the data")
        mapping, meaning = self.mapping, self._meaning()
        files = found(root / self.path, self.labels, "labels", VECTORS)
        area = None
        if self.area:
            (file,) = found(root / self.path, self.area, "area", VECTORS)[:1]
            area = read_features(file, "", meaning_of({}, {}, 0), layer=None, pixels=False)
        if self.scenes is not None:
            return self._of_scenes(files, area, meaning, mapping, root)
        imagery = self.imagery(root)
        one = len(files) == 1 and (len(imagery) > 1 or not self.match)
        named = dict.fromkeys(imagery, files[0]) if one else self.keyed(files)
        if bare := next((key for key in imagery if key not in named), None):
            raise RequestError(
                f"{imagery[bare].path} without labels",
                f"a file of {self.labels} for it",
                "correct images, labels or match of the data; an image without features needs a file without any",
            )
        read = {
            path: read_features(path, self.attribute, meaning, layer=self.layer, pixels=self.coordinates == "pixels")
            for path in dict.fromkeys(named[key] for key in imagery)
        }
        truths: dict[str, Truth] = {
            key: self._truth(read[named[key]], pixels, area, named[key]) for key, pixels in imagery.items()
        }
        return self.assembled(imagery, truths, root, mapping)

    def _truth(self, features: Features, pixels: Any, area: Features | None, path: Path) -> VectorTruth:
        if features.crs is not None and pixels.grid.crs is None:
            raise RequestError(
                f"{path} for {pixels.path}, an image without a place",
                "an image with a CRS, or coordinates in pixels",
                "set coordinates: pixels where they are columns and rows",
            )
        elsewhere = self._class(self.elsewhere, "elsewhere")
        if elsewhere != IGNORE and _has_points(features):
            raise RequestError(
                f"elsewhere: {self.elsewhere} with points ({path})",
                "points, which label single pixels, or elsewhere",
                "leave elsewhere out: what no point says is not known",
            )
        return VectorTruth(features, pixels.grid, elsewhere, self.all_touched, self.width_m, area)

    def _of_scenes(
        self, files: list[Path], area: Features | None, meaning: Meaning, mapping: LabelMapping, root: Path
    ) -> LabelSet:
        from geoseg.labels.scenes import stac_imagery  # noqa: PLC0415  # pystac, which rasters do not need

        assert self.scenes is not None  # noqa: S101  # as the caller knows
        if len(files) > 1:
            raise RequestError(f"{len(files)} label files with scenes", "one", "put the features into one file")
        features = read_features(files[0], self.attribute, meaning, layer=self.layer, pixels=False)
        scenes, around = self.scenes, self.scenes.around_px
        catalog = scenes.catalog if "://" in scenes.catalog else str(root / self.path / scenes.catalog)
        members: list[Labelled] = []
        for imagery in stac_imagery(
            scenes.model_copy(update={"catalog": catalog}), features, self.bands, self.quantity
        ):
            truth = self._truth(features, imagery, area, files[0])
            box = truth.bounds
            if not box:
                continue
            rows, cols = imagery.grid.shape
            window = box.padded(around, around, around, around) & Window(0, 0, rows, cols)
            member = imagery.member(truth)
            members.append(Block(member.name, member.group, member, window))
        if not members:
            raise RequestError(
                f"scenes of {scenes.catalog}, none of which has a label of {files[0].name}",
                "scenes where the labels are",
                "correct catalog, collection or datetime of scenes",
            )
        return LabelSet(mapping.classes, grouped(members, self, root), **self.facts)

    def _class(self, name: str, field: str) -> int:
        if name == NOTHING:
            return IGNORE
        names = [entry.name for entry in self.classes]
        if name not in names:
            raise unknown_name(f"{field}:", name, [*names, NOTHING], "correct the name, or add the class")
        return names.index(name)

    def _meaning(self) -> Meaning:
        names = {entry.name: at for at, entry in enumerate(self.classes)}
        texts = names | {value: self._class(name, f"rename.{value}") for value, name in self.rename.items()}
        mapping = self.mapping
        numbers = {value: at for value, at in mapping.index.items() if isinstance(value, int)}
        numbers |= {value: IGNORE for value in mapping.ignored if isinstance(value, int)}
        return meaning_of(texts, numbers, self._class(self.label, "label") if self.label else None)


def _has_points(features: Features) -> bool:
    return any(geometry.geom_type.endswith("Point") for geometry in features.geometries)
