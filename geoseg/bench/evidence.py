"""What evidence adds to a network alone: landslides and decoys of generated relief, through whole runs.

The rules were written and calibrated on some kinds of decoys and some seeds, and are scored on other kinds and others.
The network is the shipped stand-in, which never saw a decoy; the DEM is on a grid of its own, one arc second in degrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject
from scipy import ndimage as ndi

import geoseg
from geoseg.bench.context import describe_machine
from geoseg.demo.catalog import CRS as SCENE_CRS
from geoseg.demo.catalog import grid_transform
from geoseg.demo.rasters import RasterFacts, write_cog
from geoseg.demo.slides import DECOYS, SLIDE, Decoy, SlideScene, make_slides

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
MODEL = "demo-landcover"
TUNED_ON: tuple[tuple[Decoy, ...], tuple[int, ...]] = (("bare field", "river bar"), (301, 302, 303, 304, 305, 306))
SCORED_ON: tuple[tuple[Decoy, ...], tuple[int, ...]] = (("quarry", "road cut"), (501, 502, 503, 504, 505, 506))

_ARC_SECOND = 1 / 3600
_FOUND = 0.5  # share of a landslide's pixels in candidates
_LEAST_PX = 10  # smaller pieces of the truth are below the workflow's minimum mapping unit
_BINS = 5


@dataclass(slots=True)
class Tally:
    """Candidates and landslides of some scenes.

    Attributes:
        right: Of each candidate, whether most of it is a landslide.
        kept: Of each candidate, the rules' verdict.
        confidence: Of each candidate, by the rules.
        network: Of each candidate, by the network.
        slides: Number of true landslides.
        found_alone: Of them, those found by all candidates.
        found: Of them, those found by the kept ones.
        of: What each candidate is, by its commonest truth.
    """

    right: list[bool] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    slides: int = 0
    found_alone: int = 0
    found: int = 0
    of: list[str] = field(default_factory=list)

    @property
    def precision_alone(self) -> float:
        """Of all candidates."""
        return float(np.mean(self.right))

    @property
    def precision(self) -> float:
        """Of the kept ones."""
        return float(np.mean(np.array(self.right)[np.array(self.kept)]))

    @property
    def recall_alone(self) -> float:
        """Of the landslides, with all candidates."""
        return self.found_alone / self.slides

    @property
    def recall(self) -> float:
        """Of the landslides, with the kept ones."""
        return self.found / self.slides


def measure_evidence(folder: Path, side_px: int, say: Callable[[str], object], dem: str = "arc-second") -> None:
    """Run all scenes and print precision and recall before and after, and the calibration."""
    say(f"\nevidence: scenes of {side_px} x {side_px} px at 10 m, DEM {dem}; {describe_machine()}\n")
    for title, (kinds, seeds) in {"tuned on": TUNED_ON, "scored on": SCORED_ON}.items():
        tally = Tally()
        for seed in seeds:
            add_scene(tally, folder / f"{seed}-{dem}", make_slides(seed, (side_px, side_px), kinds), dem)
        _tell(f"{title} {' and '.join(kinds)}, seeds {seeds[0]} to {seeds[-1]}", tally, say)
    tally, (kinds, seeds) = Tally(), SCORED_ON
    for seed in seeds:
        add_scene(tally, folder / f"{seed}-{dem}", make_slides(seed, (side_px, side_px), kinds), dem, looks_back=True)
    _tell("the same with an earlier date, when every second landslide was not there", tally, say)


def add_scene(tally: Tally, folder: Path, scene: SlideScene, dem: str, *, looks_back: bool = False) -> geoseg.Result:
    """Run one scene and count it; with an earlier date where it looks back."""
    write_scene(folder, scene)
    later = [str(folder / "scene.tif")]
    dates: dict[str, Any] = {"scenes": later}
    if looks_back:
        numbers = _numbers(scene.before(), visit=11)
        write_cog(folder / "before.tif", numbers, RasterFacts(SCENE_CRS, grid_transform(), 0, BANDS))
        dates = {"scenes_before": [str(folder / "before.tif")], "scenes_after": later}
    result = geoseg.run(
        workflow="landslide",
        model=MODEL,
        **dates,
        sensor="sentinel-2-l2a",
        bands=BANDS,
        scale=1e-4,
        offset=0.0,
        dem=None if dem == "none" else str(folder / ("dem.tif" if dem == "arc-second" else "dem10.tif")),
        out=folder / "map",
        fresh=True,
    )
    _count(tally, scene, result, scene.before().truth == SLIDE if looks_back else None)
    return result


def write_scene(folder: Path, scene: SlideScene) -> None:
    """The image, the DEM on the image's grid, and the DEM in arc seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    write_cog(folder / "scene.tif", _numbers(scene), RasterFacts(SCENE_CRS, grid_transform(), 0, BANDS))
    heights = scene.landscape.terrain.elevation_m
    write_cog(folder / "dem10.tif", heights, RasterFacts(SCENE_CRS, grid_transform(), -9999, ("elevation",)))
    box = GeoBox(heights.shape, grid_transform(), CRS(SCENE_CRS)).geographic_extent.boundingbox
    west, north = np.floor(box.left / _ARC_SECOND), np.ceil(box.top / _ARC_SECOND)
    shape = int(north - np.floor(box.bottom / _ARC_SECOND)), int(np.ceil(box.right / _ARC_SECOND) - west)
    transform = Affine(_ARC_SECOND, 0, west * _ARC_SECOND, 0, -_ARC_SECOND, north * _ARC_SECOND)
    coarse = np.full(shape, -9999, np.float32)
    reproject(
        heights, coarse, src_transform=grid_transform(), src_crs=SCENE_CRS, dst_transform=transform,
        dst_crs="EPSG:4326", dst_nodata=-9999, resampling=Resampling.average,
    )  # fmt: skip
    write_cog(folder / "dem.tif", coarse, RasterFacts("EPSG:4326", transform, -9999, ("elevation",)))


def _numbers(scene: SlideScene, visit: int = 9) -> NDArray[np.uint16]:
    return np.rint(scene.image(BANDS, visit) * 1e4).clip(1, 65535).astype(np.uint16)


def _count(tally: Tally, scene: SlideScene, result: geoseg.Result, old: NDArray[np.bool_] | None = None) -> None:
    """Count candidates and landslides; ``old`` are landslides that an earlier date had."""
    found = result.polygons
    found = found[found["verdict"].notna()].reset_index(drop=True)
    with rasterio.open(result.out / "classes.tif") as file:
        shape, transform = file.shape, file.transform
    drawn: NDArray[np.int32] = np.zeros(shape, np.int32)
    if len(found):
        drawn = rasterize(zip(found.geometry, range(1, len(found) + 1), strict=True), shape, transform=transform,
                          dtype="int32")  # fmt: skip
    truth = scene.truth
    names = ["other ground", "landslide", *DECOYS]
    for number, row in enumerate(found.itertuples(), start=1):
        values = np.bincount(truth[drawn == number], minlength=len(names))
        tally.right.append(bool(values[SLIDE] >= 0.5 * values.sum()))
        name, here = names[int(values.argmax())], drawn == number
        if old is not None and name == "landslide":
            name = "old landslide" if old[here].sum() > values[SLIDE] / 2 else "new landslide"
        tally.of.append(name)
        tally.kept.append(row.verdict == "kept")
        tally.confidence.append(row.confidence_evidence)
        tally.network.append(row.confidence_mean / 100)
    kept = np.isin(drawn, 1 + np.flatnonzero((found["verdict"] == "kept").to_numpy()))
    labels, count = ndi.label(truth == SLIDE)
    for label in range(1, count + 1):
        mask = labels == label
        if np.count_nonzero(mask) < _LEAST_PX:
            continue
        tally.slides += 1
        tally.found_alone += bool((drawn[mask] > 0).mean() >= _FOUND)
        tally.found += bool(kept[mask].mean() >= _FOUND)


def _tell(title: str, tally: Tally, say: Callable[[str], object]) -> None:
    say(f"\n{title}: {len(tally.right)} candidates, {tally.slides} landslides\n")
    say("                     precision   recall   candidates\n")
    say(f"  network alone         {tally.precision_alone:7.3f}  {tally.recall_alone:7.3f}   {len(tally.kept):10d}\n")
    say(f"  with evidence         {tally.precision:7.3f}  {tally.recall:7.3f}   {sum(tally.kept):10d}\n")
    gain, loss = tally.precision - tally.precision_alone, tally.recall_alone - tally.recall
    say(f"  gain of precision     {gain:+7.3f}  loss of recall {loss:+.3f}\n")
    all_of, kept_of = Counter(tally.of), Counter(o for o, kept in zip(tally.of, tally.kept, strict=True) if kept)
    say("  kept: " + ", ".join(f"{kept_of[name]} of {all_of[name]} {name}" for name in sorted(all_of)) + "\n")
    for name, values in {"network": tally.network, "evidence": tally.confidence}.items():
        say(
            f"  calibration error of the {name + chr(39) + 's':<11} confidence {calibration_error(values, tally.right):.3f}\n"
        )


def calibration_error(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error over bins of equal count."""
    order = np.argsort(np.array(confidence), kind="stable")
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    p, y = np.array(confidence), np.array(right, float)
    return float(sum(len(part) / len(order) * abs(p[part].mean() - y[part].mean()) for part in parts))
