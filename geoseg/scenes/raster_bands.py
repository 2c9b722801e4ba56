"""Names of a raster's bands: given, written in the file, or in its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.scenes.sensors import SENSORS, Sensor

_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.alpha: "alpha"}
_BANDS_SHOWN = 12
_RESOLUTION = re.compile(r"\d{1,4}m", re.IGNORECASE)


def band_names(
    source: rasterio.DatasetReader, given: Sequence[str], wanted: Sequence[str], path: str
) -> tuple[list[str], str]:
    """Names of the file's bands, and where they come from. Alpha keeps its name whatever else is given.

    Where no certain band is wanted, bands without a name are called by their numbers.

    Raises:
        RequestError: If the names given do not fit the file.
        ModelMismatchError: If there are no names.
    """
    interpretation = [_COLOURS.get(colour) for colour in source.colorinterp]
    if given:
        names = list(given)
        if len(names) == source.count - 1 and interpretation[-1] == "alpha":
            names.append("alpha")
        if len(names) != source.count:
            raise RequestError(
                f"--bands {','.join(given)}: {len(given)} for {path} with {source.count} {_bands_in_words(source)}",
                "a name for each band of the file, in its order",
                "give as many names as there are bands; those that the model does not read may have any",
            )
        return names, "named by --bands"
    colours = [str(name) for name in interpretation] if all(interpretation) else []
    if all(source.descriptions):
        names = _described(source.descriptions, wanted)
        says_nothing = not set(wanted) & set(names) and set(wanted) & set(colours)
        if not says_nothing or len(set(colours)) < source.count:
            alpha = _alpha_only(interpretation)  # GDAL calls the fourth of four bands alpha unless told otherwise
            return [n if is_band(n, wanted) else a or n for a, n in zip(alpha, names, strict=True)], "names in the file"
    if colours and len(set(colours)) == source.count:
        return colours, "colours in the file"
    if source.count == 1 and (name := name_in_path(path, wanted)[0]):
        return [name], "named by the file's name"
    if source.count == len(wanted) and source.dtypes[0] == "uint8" and source.count in {3, 4}:
        return ["red", "green", "blue", "nir"][: source.count], "guessed from 8 bits and the number of bands"
    if not wanted:
        return [f"band {number}" for number in range(1, source.count + 1)], "numbered: the file has no names"
    raise lacking(path, f"{source.count} {_bands_in_words(source)}, not all of them named", source.count, wanted)


def _described(descriptions: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Names that a file gives its bands, as the model or the sensor table write them.

    Two that would become one name stay as they are: neither is more right.
    """
    known = _known(wanted)
    names = [band_described(text, wanted) or known.get(text.strip().lower(), text) for text in descriptions]
    return [text if names.count(name) > 1 else name for name, text in zip(names, descriptions, strict=True)]


def band_described(text: str, wanted: Sequence[str]) -> str:
    """The band of the model that a description such as ``Red`` or ``R`` means; "" for any other.

    Which colour a number (``B4``) stands for depends on the sensor, and is not guessed.
    """
    low = text.strip().lower()
    same = [name for name in wanted if name.lower() == low]
    colours = SENSORS["rgbn"].aliases.items()
    meant = [band for band, others in colours if band in wanted and low in {o.lower() for o in others if o.isalpha()}]
    return text if text in wanted else next(iter([*same, *meant]), "")


def is_band(name: str, wanted: Sequence[str]) -> bool:
    """Whether the model or the sensor table knows a band of this name."""
    return _known(wanted).get(name.lower()) == name


def _known(wanted: Sequence[str]) -> dict[str, str]:
    """Names of bands in lower case to their usual spelling; the model's before those of the sensor table."""
    entries = SENSORS.values()
    names = [*(band for entry in entries for band in entry.aliases), *(e.mask.band for e in entries if e.mask), *wanted]
    return {name.lower(): name for name in names}


def name_in_path(path: str, wanted: Sequence[str]) -> tuple[str, str]:
    """The band that a file's name speaks of, and the rest of the name, without what says how large its pixels are.

    Such as ``B04`` and ``T33TVL_20220601`` for ``T33TVL_20220601_B04_10m.tif``. Names that sensors give to different
    bands (``B2``) count only where the model calls a band so. "" where there is no name.
    """
    parts = re.split(r"([_.\-\s]+)", Path(path).stem)
    words = parts[::2]
    if entry := landsat_of(path):
        for place in range(len(words) - 1, 0, -1):
            if name := _landsat_band("_".join(words[place - 1 : place + 1]), entry, wanted):
                return name, "_".join([*words[: place - 1], *words[place + 1 :]])
    called = _band_exactly if _is_landsat(words) else _band_called
    for place in range(len(words) - 1, -1, -1):
        name = called(words[place], wanted)
        if name:
            rest = [word for at, word in enumerate(words) if at != place and not _RESOLUTION.fullmatch(word)]
            return name, "_".join(rest)
    return "", Path(path).stem


def landsat_of(path: str) -> Sensor | None:
    """The sensor of a file that is named as USGS names those of Collection 2 Level-2; ``None`` for others."""
    found = re.match(r"L[CEOT]0(\d)_L2S[PR]_", Path(path).name)
    return None if found is None else SENSORS["landsat-c2-l2" if found[1] in "89" else "landsat-tm-c2-l2"]


def _landsat_band(asset: str, entry: Sensor, wanted: Sequence[str]) -> str:
    """The band that ``SR_B4`` or ``QA_PIXEL`` in a file's name means; "" for bands that the model does not read."""
    names = [band for band, others in entry.aliases.items() if band in wanted and asset in others]
    quality = [entry.mask.band] if entry.mask is not None and asset in entry.mask.aliases else []
    return next(iter([*names, *quality]), "")


def _is_landsat(words: Sequence[str]) -> bool:
    """Whether a file is named as USGS names its scenes: ``B4`` of Landsat is no ``B04`` of Sentinel-2."""
    return re.fullmatch(r"L[CEOT]0\d", words[0]) is not None or "SR" in words


def _band_exactly(word: str, wanted: Sequence[str]) -> str:
    return next((name for name in wanted if name.lower() == word.lower()), "")


def _band_called(word: str, wanted: Sequence[str]) -> str:
    low = word.lower()
    for name in wanted:
        if low == name.lower() or (re.fullmatch(r"b0\d", name.lower()) and low == "b" + name[2:]):
            return name
    for key in ("sentinel-2-l2a", "sentinel-2-l1c"):
        entry = SENSORS[key]
        for band, others in entry.aliases.items():
            if low == band.lower() or (band in wanted and low in others):
                return band
        if entry.mask is not None and low == entry.mask.band.lower():
            return entry.mask.band
    return ""


def lacking(path: str, has: str, count: int, wanted: Sequence[str]) -> ModelMismatchError:
    """The refusal of a file in which bands of the model cannot be found.

    Args:
        path: The file.
        has: What is in it, in words.
        count: Number of its bands.
        wanted: Bands that the model reads.
    """
    other = "choose a model for these bands with --model (geoseg models show NAME names what it reads)"
    if count < len(wanted):
        todo = (
            f"name one file for each band, --scenes FILE --scenes FILE … --bands {','.join(wanted)} in the order of the "
            f"files (or the folder that holds them, where their names say the band), or put them into one file with "
            f"gdalbuildvrt -separate; or {other}"
        )
    else:
        names = "its band" if count == 1 else f"all {count} bands of the file in their order"
        todo = f"if they are there under other names, name {names} with --bands, {', '.join(wanted)} among them; or {other}"
    return ModelMismatchError(f"{path} with {has}", f"the bands {', '.join(wanted)}, which the model reads", todo)


def _bands_in_words(source: rasterio.DatasetReader) -> str:
    """Such as ``bands (1 red, 2 unnamed; uint8)``."""
    words = [
        name or (colour.name if colour in _COLOURS or colour is ColorInterp.gray else "unnamed")
        for name, colour in zip(source.descriptions, source.colorinterp, strict=True)
    ]
    listed = [f"{number} {word}" for number, word in enumerate(words[:_BANDS_SHOWN], start=1)]
    rest = [f"{len(words) - _BANDS_SHOWN} more"] if len(words) > _BANDS_SHOWN else []
    return f"{'band' if source.count == 1 else 'bands'} ({', '.join(listed + rest)}; {source.dtypes[0]})"


def _alpha_only(interpretation: Sequence[str | None]) -> list[str | None]:
    return [name if name == "alpha" else None for name in interpretation]


def guess_sensor(names: Sequence[str]) -> Sensor:
    """The sensor that bands of these names belong to."""
    have = set(names)
    if "B10" in have and have <= {*SENSORS["sentinel-2-l1c"].aliases, "alpha"}:
        return SENSORS["sentinel-2-l1c"]
    if have <= {*SENSORS["sentinel-2-l2a"].aliases, "SCL", "alpha"}:
        return SENSORS["sentinel-2-l2a"]
    if {"red", "green", "blue"} <= have:
        return SENSORS["rgbn" if "nir" in have else "rgb"]
    return SENSORS["raster"]
