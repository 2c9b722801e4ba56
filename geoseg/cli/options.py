"""The options of ``geoseg run`` and ``geoseg plan``: what to make, and where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from geoseg.cli import completion

_JOB, _WHERE = "What to make", "Where it runs"


def _job(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_JOB, show_default=False, **more)


def _where(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_WHERE, show_default=False, **more)


Aoi = Annotated[
    str | None,
    _job(
        "Region: a vector file, or WEST,SOUTH,EAST,NORTH in degrees. Default with --scenes: their footprint.", "--aoi"
    ),
]
Workflow = Annotated[
    str | None,
    _job(
        "Named settings: landcover (default), change, landslide, prompt, demo, or a YAML file.",
        "--workflow",
        autocompletion=completion.workflows,
    ),
]
Catalog = Annotated[
    str | None,
    _job(
        "STAC API address, a static catalogue on disk (catalog.json or its folder, a collection, an item collection or an "
        "item), or a stac-geoparquet file. Default: GEOSEG_CATALOG, else Earth Search of Element 84.",
        "--catalog",
    ),
]
Collection = Annotated[
    str | None,
    _job(
        "Collection to search. Default: the workflow's (sentinel-2-l2a).",
        "--collection",
        autocompletion=completion.collections,
    ),
]
Scenes = Annotated[
    list[str] | None,
    _job(
        "Raster to map: a file, a folder of files (one for each band, or a .SAFE product), or an https address; repeat "
        "for several. Default: the scenes of the catalogue.",
        "--scenes",
    ),
]
ScenesBefore = Annotated[
    list[str] | None,
    _job(
        "Raster of the earlier date of a change map, or of --evidence (what plants lost since), as --scenes; repeat for "
        "several. Default: the catalogue.",
        "--scenes-before",
    ),
]
ScenesAfter = Annotated[
    list[str] | None,
    _job(
        "Raster of the later date of a change map, or of the map whose --evidence looks back, as --scenes; repeat for "
        "several. Default: the catalogue.",
        "--scenes-after",
    ),
]
Before = Annotated[
    str | None,
    _job(
        "Time range of the earlier date of a change map, or of --evidence (what plants lost since), such as 2023-05/2023-07 "
        "or 2023-05-01/2023-07-15. Default: none.",
        "--before",
    ),
]
After = Annotated[
    str | None,
    _job(
        "Time range of the later date of a change map, or of the map whose --evidence looks back; see --before. Default: none.",
        "--after",
    ),
]
Detector = Annotated[
    str | None,
    _job(
        "What finds the change between two dates: ir-mad, ir-mad-otsu, change-vectors, change-vectors-standardised, "
        "change-vectors-fitted, difference, ndvi-difference (none needs weights), or post-classification (where --model sees another class). "
        "Default: the workflow's (change: ir-mad).",
        "--detector",
        autocompletion=completion.detectors,
    ),
]
Fit = Annotated[
    str | None,
    _job(
        "Where the alignment of two dates and the threshold of change are fitted: scene (default, all that both dates "
        "cover, so that a larger region gives the same pixels) or aoi (the region alone).",
        "--fit",
    ),
]
Sensor = Annotated[
    str | None,
    _job(
        "Kind of imagery: sentinel-2-l2a, sentinel-2-l1c, landsat-c2-l2 (8 and 9), landsat-tm-c2-l2 (4, 5 and 7), "
        "sentinel-1-rtc, naip, dem, rgb, rgbn, raster, or one that a plug-in adds. "
        "Default: what the collection or the bands of the file say.",
        "--sensor",
        autocompletion=completion.sensors,
    ),
]
Bands = Annotated[
    str | None,
    _job(
        "Names of all bands of --scenes in their order, such as B04,B03,B02. Default: names or colours in the file. With "
        "--before and --after: the bands to compare; default those that all scenes share.",
        "--bands",
    ),
]
Scale = Annotated[
    float | None,
    _job(
        "Value = number x SCALE + OFFSET, such as 0.0001 for reflectance. Default: what metadata and sensor say.",
        "--scale",
    ),
]
Offset = Annotated[
    float | None, _job("See --scale; such as 0 or -0.1. Default: what metadata and sensor say.", "--offset")
]
PixelGrid = Annotated[
    bool,
    _job("Map --scenes in rows and columns, wherever they lie: for rasters without a place on Earth.", "--pixel-grid"),
]
Datetime = Annotated[
    str | None,
    _job(
        "Time range START/END, such as 2022-01-01/2022-06-30. "
        "Default: the workflow's, else the last twelve complete months.",
        "--datetime",
    ),
]
Composite = Annotated[
    str | None,
    _job(
        "How dates become one map: first (the newest), least-cloudy or median of the images; mean-scores maps every date "
        "and takes the mean of the probabilities; per-date makes a map of each, in a folder of its own. "
        "Default: the workflow's (landcover: median).",
        "--composite",
        autocompletion=completion.rules,
    ),
]
Model = Annotated[
    str | None,
    _job(
        "Name (geoseg models list), folder, hf:ORG/NAME, torchgeo:NAME or https://…/item.json#sha256=HEX of the model. "
        "Default: the workflow's (landcover: dynamic-world).",
        "--model",
        autocompletion=completion.models,
    ),
]
Prompt = Annotated[
    list[str] | None,
    _job(
        "What to find, in words; synonyms with commas between them: 'forest, trees, woodland'. Repeat for several classes. "
        "Implies --workflow prompt. Default: the classes of the model.",
        "--prompt",
    ),
]
Example = Annotated[
    str | None,
    _job(
        "GeoJSON file of polygons in longitude and latitude, each with a property prompt: outlined examples of what to find, "
        "alone or beside --prompt. Default: none.",
        "--example",
    ),
]
Without = Annotated[
    str | None,
    _job(
        "Steps of the prompts' algorithm to leave out: templates, synonyms, bias, generic, gate, mixing, guide, reject; several "
        "with commas. Default: none.",
        "--without",
    ),
]
Legend = Annotated[
    str | None,
    _job(
        "Legend of the map: worldcover (ESA WorldCover, its codes as a column); scores of classes that become one are "
        "summed. Default: the model's own.",
        "--legend",
    ),
]
Resolution = Annotated[
    float | None, _job("Pixel size in units of the CRS. Default: that of the scenes.", "--resolution")
]
Crs = Annotated[str | None, _job("CRS of the map, such as EPSG:32633. Default: that of the scenes.", "--crs")]
Like = Annotated[
    str | None,
    _job(
        "Folder of an earlier result, or a raster, whose pixel grid to use. Default: the grid of the scenes.", "--like"
    ),
]
Format = Annotated[
    str | None,
    _job(
        "Files of polygons: parquet (default), geojson, fgb (FlatGeobuf), gpkg (GeoPackage), pmtiles; several with "
        "commas. polygons.parquet is always written, and polygons.geojson beside it up to 20,000 polygons; geojson "
        "writes it however many there are.",
        "--format",
        autocompletion=completion.formats,
    ),
]
Layers = Annotated[
    str | None,
    _job(
        "Further rasters, in percent: scores (the probability of every class), entropy (0 = sure), margin (the lead of "
        "the first choice); and sets (1 for each class that a pixel may well have, by the class sets that the model was "
        "calibrated with); several with commas. Default: none.",
        "--layers",
        autocompletion=completion.layers,
    ),
]
Profile = Annotated[
    str | None,
    _job(
        "exact (default), or bf16 or int8: quicker and rounded, once `geoseg models export` has accepted the loss.",
        "--profile",
    ),
]
MinArea = Annotated[
    float | None,
    _job(
        "Polygons below so many square metres take the class of the neighbour with the longest shared border, in one "
        "pass. Default: 0, all stay.",
        "--min-area",
    ),
]
Simplify = Annotated[
    float | None,
    _job(
        "Tolerance of the outlines in metres; neighbours keep their border. Default: 0, the edges of pixels.",
        "--simplify",
    ),
]
Align = Annotated[
    str | None,
    _job(
        "Two dates that lie apart: correct (default) moves the later one back by a small shift, and refuses what no single "
        "shift mends; measure only says how far they are apart.",
        "--align",
    ),
]
DropThin = Annotated[
    bool,
    _job(
        "Leave polygons of change out that are thinner than twice what the two dates lie apart, as measured. They stay in "
        "the rasters.",
        "--drop-thin",
    ),
]
MaxCloud = Annotated[
    float | None,
    _job(
        "Leave polygons of change out of which more than this share, 0 to 1, lies within two pixels of what cloud or "
        "shadow hid on either date. Default: none is left out.",
        "--max-cloud",
    ),
]
Evidence = Annotated[
    str | None,
    _job(
        "Judge the polygons of a landslide class by terrain and surroundings: landslide (the shipped rules), or a YAML "
        "file of rules. Default: the workflow's, else none.",
        "--evidence",
    ),
]
Dem = Annotated[
    str | None,
    _job(
        "Elevations for --evidence: a raster, a folder or address of one, or a collection of the catalogue such as "
        "cop-dem-glo-30. Default: none, and what needs a slope is not known.",
        "--dem",
    ),
]
Comment = Annotated[
    str | None,
    _job(
        "Plug-in on this machine, such as a vision-language model, that comments on each polygon that the report lists; "
        "what contradicts the numbers is flagged. Default: none.",
        "--comment",
    ),
]
Out = Annotated[Path | None, _where("Output folder; default geoseg-out/<workflow>-<run key>.", "--out")]
Fresh = Annotated[bool, _where("Replace what is in --out. Finished tiles are kept.", "--fresh")]
Update = Annotated[bool, _where("Search anew instead of using the items of the job's first run.", "--update")]
MaxMemory = Annotated[
    str | None,
    _where("Upper bound of memory, such as 4GB. Default: half of the machine's, 8 GB at most.", "--max-memory"),
]
MaxFailed = Annotated[
    float | None,
    _where(
        "Share of failed pixels, 0 to 1, that is still a success; above 0, items that lack a band are left out instead "
        "of ending the run. Default: 0.",
        "--max-failed",
    ),
]
MaxArea = Annotated[
    float | None, _where("Largest region that is searched, in square kilometres. Default: 500000.", "--max-area")
]
MaxPixels = Annotated[int | None, _where("Most pixels of a map. Default: 20000000000.", "--max-pixels")]
TileSize = Annotated[
    int | None,
    _where("Side of a tile in pixels, rounded up to whole cells. Default: what --max-memory allows.", "--tile-size"),
]
Workers = Annotated[
    int | None,
    _where(
        "Worker processes on this machine, 1 to 256, each with its share of cores and memory; one for each GPU with "
        "--device cuda. Default: 1, which is this process with all cores.",
        "--workers",
    ),
]
Scheduler = Annotated[
    str | None,
    _where(
        "Address of a dask.distributed scheduler, such as tcp://head:8786, whose workers compute the tiles; "
        "--max-memory is then that of each worker. Default: none, the tiles are computed on this machine.",
        "--scheduler",
    ),
]
Store = Annotated[
    str | None,
    _where(
        "Where finished tiles are kept: a folder, or an address such as s3://bucket/prefix, which all workers reach. "
        "Default: GEOSEG_STORE, else tiles in the cache of this machine.",
        "--store",
    ),
]
Device = Annotated[str | None, _where("Where the network runs: auto (default), cpu or cuda.", "--device")]
Backend = Annotated[
    str | None,
    _where("What runs the network: torch, openvino, onnx, or auto (default), the quickest one.", "--backend"),
]
Connections = Annotated[
    int | None, _where("Requests at the same time to one server, 1 to 64. Default: 8.", "--connections")
]
Offline = Annotated[
    bool, _where("Fetch nothing: models, weights, catalogues and files of this machine only.", "--offline")
]
MaxFeatures = Annotated[
    str | None,
    _where(
        "Most image features that a run with --prompt keeps in the tile store, so that later prompts need no image "
        "network, such as 500MB; 0 keeps none. Default: 2 GB.",
        "--max-features",
    ),
]
AllowPickle = Annotated[
    bool,
    _where("Read weights that are Python pickles too, as numbers alone. Default: they are refused.", "--allow-pickle"),
]
Price = Annotated[
    float | None,
    _where("What an hour of this machine costs; the forecast then says what the run does.", "--price", min=0),
]
Json = Annotated[bool, _where("Print the report as one JSON object at the end.", "--json")]
Quiet = Annotated[bool, _where("Say nothing but errors.", "--quiet")]
Debug = Annotated[bool, _where("Show tracebacks.", "--debug")]
