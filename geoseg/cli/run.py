"""``geoseg run`` and ``geoseg plan``."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import typer

from geoseg.cli import options
from geoseg.cli.stopping import stop_on_signal
from geoseg.errors import FailedPixelsError, InterruptedRunError

if TYPE_CHECKING:
    from geoseg.result import Result
    from geoseg.settings import Settings
    from geoseg.spec import JobSpec


def run_command(
    aoi: options.Aoi = None,
    workflow: options.Workflow = None,
    catalog: options.Catalog = None,
    collection: options.Collection = None,
    scenes: options.Scenes = None,
    scenes_before: options.ScenesBefore = None,
    scenes_after: options.ScenesAfter = None,
    sensor: options.Sensor = None,
    bands: options.Bands = None,
    scale: options.Scale = None,
    offset: options.Offset = None,
    pixel_grid: options.PixelGrid = False,
    datetime: options.Datetime = None,
    before: options.Before = None,
    after: options.After = None,
    detector: options.Detector = None,
    fit: options.Fit = None,
    composite: options.Composite = None,
    model: options.Model = None,
    prompt: options.Prompt = None,
    example: options.Example = None,
    without: options.Without = None,
    legend: options.Legend = None,
    resolution: options.Resolution = None,
    crs: options.Crs = None,
    like: options.Like = None,
    format: options.Format = None,  # noqa: A002  # the option's name
    layers: options.Layers = None,
    profile: options.Profile = None,
    min_area: options.MinArea = None,
    simplify: options.Simplify = None,
    align: options.Align = None,
    drop_thin: options.DropThin = False,
    max_cloud: options.MaxCloud = None,
    evidence: options.Evidence = None,
    dem: options.Dem = None,
    comment: options.Comment = None,
    out: options.Out = None,
    fresh: options.Fresh = False,
    update: options.Update = False,
    max_memory: options.MaxMemory = None,
    max_failed: options.MaxFailed = None,
    max_area: options.MaxArea = None,
    max_pixels: options.MaxPixels = None,
    tile_size: options.TileSize = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    store: options.Store = None,
    device: options.Device = None,
    backend: options.Backend = None,
    connections: options.Connections = None,
    offline: options.Offline = False,
    max_features: options.MaxFeatures = None,
    allow_pickle: options.AllowPickle = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make a map of a region: classes, confidence, polygons, areas and a report."""
    del debug  # looked at by `geoseg.cli.main`
    spec, settings = _read_options(locals())
    from geoseg.machine import tune_allocator, unswept  # noqa: PLC0415

    tune_allocator()
    # Arrays in memory have no geotransform, which rasterio remarks on for every warp.
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")
    with unswept():
        from geoseg.cli.progress import show_progress  # noqa: PLC0415
        from geoseg.cli.show import show_after, show_before, show_licence  # noqa: PLC0415
        from geoseg.pipeline import run  # noqa: PLC0415  # seconds of libraries that --help need not wait for

    with show_progress(quiet=quiet) as progress, stop_on_signal() as stopped:
        try:
            result = run(spec, settings, progress, stopped.is_set, show_licence if quiet else show_before)
        except InterruptedRunError as err:
            raise InterruptedRunError(err.given, err.expected, err.todo, 128 + stopped.number) from err
    if not quiet:
        show_after(result)
    if as_json:
        typer.echo(json.dumps(result.report))
    _judge_failures(result, settings.max_failed)


def plan_command(
    aoi: options.Aoi = None,
    workflow: options.Workflow = None,
    catalog: options.Catalog = None,
    collection: options.Collection = None,
    scenes: options.Scenes = None,
    scenes_before: options.ScenesBefore = None,
    scenes_after: options.ScenesAfter = None,
    sensor: options.Sensor = None,
    bands: options.Bands = None,
    scale: options.Scale = None,
    offset: options.Offset = None,
    pixel_grid: options.PixelGrid = False,
    datetime: options.Datetime = None,
    before: options.Before = None,
    after: options.After = None,
    detector: options.Detector = None,
    fit: options.Fit = None,
    composite: options.Composite = None,
    model: options.Model = None,
    prompt: options.Prompt = None,
    example: options.Example = None,
    without: options.Without = None,
    legend: options.Legend = None,
    resolution: options.Resolution = None,
    crs: options.Crs = None,
    like: options.Like = None,
    format: options.Format = None,  # noqa: A002  # the option's name
    layers: options.Layers = None,
    profile: options.Profile = None,
    min_area: options.MinArea = None,
    simplify: options.Simplify = None,
    align: options.Align = None,
    drop_thin: options.DropThin = False,
    max_cloud: options.MaxCloud = None,
    evidence: options.Evidence = None,
    dem: options.Dem = None,
    comment: options.Comment = None,
    out: options.Out = None,
    fresh: options.Fresh = False,
    update: options.Update = False,
    max_memory: options.MaxMemory = None,
    max_failed: options.MaxFailed = None,
    max_area: options.MaxArea = None,
    max_pixels: options.MaxPixels = None,
    tile_size: options.TileSize = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    store: options.Store = None,
    device: options.Device = None,
    backend: options.Backend = None,
    connections: options.Connections = None,
    offline: options.Offline = False,
    max_features: options.MaxFeatures = None,
    allow_pickle: options.AllowPickle = False,
    price: options.Price = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a run with the same options would do, and fetch.

    Asks the catalogue and reads headers of files, no pixels: offsets, ranges and empty edges are looked at by run. Writes
    nothing.
    """
    del debug
    spec, settings = _read_options(locals())
    from geoseg.cli.progress import console  # noqa: PLC0415
    from geoseg.cli.retries import told  # noqa: PLC0415
    from geoseg.cli.show import plan_facts, show_before, show_licence  # noqa: PLC0415
    from geoseg.job import default_out, open_job  # noqa: PLC0415
    from geoseg.machine import tune_collector  # noqa: PLC0415
    from geoseg.pipeline import Asked, prepare_job  # noqa: PLC0415

    tune_collector()

    job = open_job(settings.out or default_out(spec), spec, fresh=settings.fresh, update=settings.update)
    with told(lambda text: None if quiet else console().print(text, markup=False)):
        asked = Asked(settings, job.documents, job.later, notes=job.notes, begun_with=job.backend, asks_files=False)
        prepared = prepare_job(job.spec, asked)
    if quiet:
        show_licence(prepared)
    else:
        show_before(prepared, price)
    if as_json:
        typer.echo(json.dumps(plan_facts(prepared, price)))


# Command-line words whose field has another name; a test holds the rest to be equal.
RENAMED = {"min_area": "min_area_m2", "simplify": "simplify_m", "max_area": "max_area_km2"}
_LISTS = ("bands", "format", "layers", "without")
_NEITHER = ("as_json", "quiet", "debug", "price")


def _read_options(words: dict[str, Any]) -> tuple[JobSpec, Settings]:
    from geoseg.settings import Settings  # noqa: PLC0415  # pydantic costs a third of the time of --help
    from geoseg.spec import JobSpec  # noqa: PLC0415

    job: dict[str, Any] = {}
    where: dict[str, Any] = {}
    for name, value in words.items():
        if name in _NEITHER or value is None or value is False:
            continue
        field = RENAMED.get(name, name)
        given = tuple(part.strip() for part in value.split(",")) if name in _LISTS else value
        (job if field in JobSpec.model_fields else where)[field] = given
    settings = Settings.with_options(**where)
    return JobSpec.build(default_catalog=settings.catalog, **job), settings


def _judge_failures(result: Result, max_failed: float) -> None:
    pixels = result.report["pixels"]
    causes = [cause for cause, count in pixels["failed"].items() if count]
    failed = sum(pixels["failed"].values())
    if not pixels["aoi"] or failed / pixels["aoi"] <= max_failed:
        return
    named = f"the files that {result.out / 'report.html'} names"
    ways = {
        "read": f"replace or fetch {named}, and run the same command again: it computes the incomplete tiles, no others",
        "worker": "run the same command again with a smaller --tile-size or fewer --workers: it computes the lost tiles, no others",
        "model": "the network gives no number there: choose another model, or allow it with --max-failed",
    }
    raise FailedPixelsError(
        f"{failed} failed pixels ({', '.join(causes)}), {failed / pixels['aoi']:.3%} of the region",
        f"at most {max_failed:.3%} (--max-failed)",
        "; ".join(way for cause, way in ways.items() if cause in causes),
    )
