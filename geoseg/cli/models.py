"""``geoseg models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli import evaluate
from geoseg.errors import ModelSpecError, RequestError

if TYPE_CHECKING:
    from geoseg.models import ModelFolder, ModelSpec
    from geoseg.settings import Settings

app = typer.Typer(help="Models: what there is, and whether they are what they say.", no_args_is_help=True)
Reference = Annotated[
    str,
    typer.Argument(help="Name or folder of a model, hf:ORG/NAME, torchgeo:NAME or https://…/item.json#sha256=HEX."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing: use what is on this machine.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read weights that are Python pickles too, as numbers alone.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def _settings(*, offline: bool = False, allow_pickle: bool = False) -> Settings:
    from geoseg.settings import Settings  # noqa: PLC0415

    return Settings.with_options(offline=offline or None, allow_pickle=allow_pickle or None)


def _folder(reference: str, settings: Settings, *, measured: bool = True) -> ModelFolder:
    from geoseg.models import resolve  # noqa: PLC0415

    return resolve(
        reference,
        models_dirs=settings.models,
        cache=settings.cache,
        offline=settings.offline,
        measured=measured,
    )


@app.command("list")
def list_command() -> None:
    """Name every model: built in, in the folders of GEOSEG_MODELS, added, and known of others. Asks no server."""
    from geoseg.models import list_models  # noqa: PLC0415
    from geoseg.models.licences import licence_kind  # noqa: PLC0415
    from geoseg.models.torchgeo_weights import published  # noqa: PLC0415

    settings = _settings()
    for folder in list_models(models_dirs=settings.models, cache=settings.cache):
        typer.echo(f"{folder.path.name:<20} {folder.spec.title} ({folder.spec.licence})")
    typer.echo("\npublished by others, fetched when they are used (pickles: --allow-pickle)")
    for reference, title, licence in published():
        limit = "; non-commercial use only" if licence_kind(licence) == "non-commercial" != licence else ""
        typer.echo(f"{reference}  {title} ({licence}{limit})")


@app.command("show")
def show(
    model: Reference,
    as_json: Annotated[bool, typer.Option("--json", help="Print the model's STAC item as it is.")] = False,
    offline: Offline = False,
) -> None:
    """Print what is known of a model: what it reads, what it gives, what it costs and whose it is."""
    import json  # noqa: PLC0415

    folder = _folder(model, _settings(offline=offline))
    spec = folder.spec
    if as_json:
        typer.echo(json.dumps(spec.to_item(), indent=2))
        return
    rows = _facts(spec, _class_sets(folder))
    wide = max(len(name) for name, _ in rows)
    for name, text in rows:
        if text:
            typer.echo(f"{name:<{wide}}  {text}")
    typer.echo("\nclass  colour   code  name")
    for info in spec.classes:
        code = "" if info.code is None else info.code
        typer.echo(f"{info.index:>5}  {info.colour}  {code:>4}  {info.name}")


def _use(spec: ModelSpec) -> str:
    from geoseg.models.licences import licence_kind  # noqa: PLC0415

    return "non-commercial use only" if licence_kind(spec.licence) == "non-commercial" else "not known to be open"


def _calibration(spec: ModelSpec) -> str:
    if spec.temperatures:
        each = zip(spec.temperatures, spec.classes, strict=True)
        return "logits divided, by class: " + ", ".join(f"{number:g} {info.name}" for number, info in each)
    return "" if spec.temperature == 1 else f"logits divided by {spec.temperature:g}"


def _class_sets(folder: ModelFolder) -> str:
    """Thresholds in the item of a folder."""
    from geoseg.models.class_sets import stored_class_sets  # noqa: PLC0415

    stored = stored_class_sets(folder)
    return "" if stored is None else evaluate.class_sets_in_words(stored.thresholds, stored.classes)


def _facts(spec: ModelSpec, sets: str) -> list[tuple[str, str]]:
    from geoseg.models.licences import licence_kind  # noqa: PLC0415
    from geoseg.outputs.report_text import size  # noqa: PLC0415

    weights = spec.weights
    span = "" if spec.resolution_range_m is None else "{:g} to {:g} m".format(*spec.resolution_range_m)
    trained = "" if spec.resolution_m is None else f"{spec.resolution_m:g} m"
    chips = f"radius {max(spec.radius_px)} px"
    if spec.kind == "global":
        chips = f"chips of {spec.chip_px} x {spec.chip_px} px every {spec.chip_step_px} px"
    place = weights.href if "://" in weights.href else "the model's folder"
    large = "" if weights.size_bytes is None else f"{size(weights.size_bytes)}, "
    return [
        ("name", spec.name),
        ("title", spec.title),
        ("licence", spec.licence if licence_kind(spec.licence) == "open" else f"{spec.licence} ({_use(spec)})"),
        ("attribution", spec.attribution),
        ("source", spec.source),
        ("reads", f"{', '.join(spec.bands)} ({spec.quantity})"),
        ("trained on", spec.expects or ""),
        ("input steps", ", then ".join(step.op for step in spec.transform)),
        ("pixels", ", ".join(filter(None, (trained, f"runs on {span}" if span else "")))),
        ("kind", f"{spec.kind}, {chips}, stride {spec.stride_px} px, cells of {spec.cell_px} x {spec.cell_px} px"),
        ("memory", f"{spec.workspace_bytes_per_px:g} bytes per pixel of a chip"),
        ("network", spec.architecture),
        ("calibrated", _calibration(spec)),
        ("class sets", sets),
        ("head", "" if spec.head == "semantic" else spec.head),
        ("weights", f"{weights.file_name} ({large}SHA-256 {weights.sha256}) from {place}"),
        *(("note", note) for note in spec.notes),
    ]


@app.command("check")
def check(
    model: Reference,
    write: Annotated[bool, typer.Option("--write", help="Put what was measured into the model's item.")] = False,
    allow_pickle: AllowPickle = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Measure kind, stride, radius and workspace of a network and hold them against what its item says."""
    del debug
    from geoseg.models.check import check_model  # noqa: PLC0415
    from geoseg.models.registry import is_elsewhere  # noqa: PLC0415

    settings = _settings(offline=offline, allow_pickle=allow_pickle)
    if write and is_elsewhere(model):
        raise RequestError(
            f"--write for the model {model}, which others publish",
            "a folder of this machine",
            f"geoseg models add {model} makes a measured copy of it",
        )
    folder = _folder(model, settings, measured=False)
    report = check_model(folder, write=write, allow_pickle=settings.allow_pickle)
    typer.echo(report.describe())
    if report.lasting:
        raise ModelSpecError(
            f"the model {model}: {'; '.join(report.lasting)}",
            "a network that does what its item says",
            "writing measured values does not mend this: correct the classes or mlm:hyperparameters of the item, or "
            "the weights",
        )
    if write:
        typer.echo(f"{folder.path / 'item.json'} now says what was measured")
    elif not report.agrees:
        raise ModelSpecError(
            f"the item of {model}, which differs from what was measured",
            "a spec that the network keeps",
            f"geoseg models check {model} --write puts the measured values in",
        )


@app.command("add")
def add(
    model: Reference,
    name: Annotated[str, typer.Option("--name", help="Its name here. Default: the id of its item.")] = "",
    item: Annotated[
        Path | None,
        typer.Option("--item", help="STAC item that describes it, for a folder or repository that has none."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an added model of that name.")] = False,
    allow_pickle: AllowPickle = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Copy a model to this machine under a name, after it was checked, measured and tried out on noise."""
    del debug
    from geoseg.models.adding import Places, add_model  # noqa: PLC0415
    from geoseg.models.exports.carrying import exports_of  # noqa: PLC0415
    from geoseg.models.licences import licence_warning  # noqa: PLC0415

    settings = _settings(offline=offline, allow_pickle=allow_pickle)
    places = Places(settings.cache, settings.models, settings.offline)
    report = add_model(model, places, name=name, item=item, allow_pickle=settings.allow_pickle, replace_it=replace)
    spec, path = report.folder.spec, report.folder.path
    for fact in report.facts:
        typer.echo(f"{fact.name}: {fact.measured}")
    if exports := exports_of(report.folder):
        typer.echo(f"exports: {', '.join(f'{export.backend} {export.profile}' for export in exports)}")
    if warning := licence_warning(spec.name, spec.licence):
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"added {path.name} ({path}); use it with: geoseg run --model {path.name}")


@app.command("export")
def export(
    model: Reference,
    profile: Annotated[
        str,
        typer.Option("--profile", help="exact, or bf16 or int8, which round and are refused where they lose too much."),
    ] = "exact",
    format_: Annotated[
        str, typer.Option("--format", help="openvino, or onnx for ONNX Runtime and other programs.")
    ] = "openvino",
    device: Annotated[
        str,
        typer.Option(
            "--device", help="cpu, or cuda: measure what bf16 loses on this machine's GPU, where torch runs it."
        ),
    ] = "cpu",
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Make a model folder here with the export in it. Default: keep it in the cache."),
    ] = None,
    scenes: Annotated[
        list[str] | None,
        typer.Option("--scenes", help="Raster to calibrate and measure on; repeat. Default: a generated scene."),
    ] = None,
    allow_pickle: AllowPickle = False,
    offline: Offline = False,
    debug: Debug = False,
) -> None:
    """Make a network that runs without torch, and say how far it is from the original."""
    del debug
    from geoseg.models.adding import gather  # noqa: PLC0415  # imports torch, as all that follows
    from geoseg.models.exports.record import EXPORTS, profile_of  # noqa: PLC0415
    from geoseg.models.exports.trials import export_apart  # noqa: PLC0415
    from geoseg.pipeline.calibration import calibration_images  # noqa: PLC0415

    wanted = profile_of(profile)
    backend = _export_backend(format_, wanted, device)
    settings = _settings(offline=offline, allow_pickle=allow_pickle)
    folder = _folder(model, settings)
    target = None
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        gather(folder, to.absolute(), allow_pickle=settings.allow_pickle)
        folder = _folder(str(to.absolute()), settings)
        target = folder.path / EXPORTS / f"{backend}-{wanted}"
    images, source = calibration_images(folder, scenes or (), settings) if scenes or wanted != "exact" else ([], "")
    made = export_apart(
        folder,
        wanted,
        images,
        source,
        backend=backend,
        device=device,
        target=target,
        allow_pickle=settings.allow_pickle,
    )
    typer.echo(made.agreement.describe())
    typer.echo(f"memory: {made.workspace_bytes_per_px:g} bytes per pixel of a chip")
    typer.echo(f"exported to {made.path}")


def _export_backend(format_: str, profile: str, device: str) -> str:
    """What an export is for.

    Raises:
        RequestError: If its options do not go together.
    """
    if format_ not in {"openvino", "onnx"}:
        raise RequestError(f"--format {format_}", "openvino or onnx", "use one of the two")
    if device not in {"cpu", "cuda"}:
        raise RequestError(f"--device {device}", "cpu or cuda", "use one of the two")
    if device == "cuda":
        if profile != "bf16" or format_ != "openvino":
            raise RequestError(
                f"--device cuda --format {format_} --profile {profile}",
                "bf16, which torch runs on a GPU: float32 needs no export there, and int8 is for processors",
                "use --device cuda --profile bf16, or drop --device",
            )
        return "torch"
    if format_ == "onnx" and profile == "bf16":
        raise RequestError("--format onnx --profile bf16", "float32 or int8 as ONNX", "use --profile exact or int8")
    return format_


app.command("compare")(evaluate.compare_command)
app.command("calibrate")(evaluate.calibrate_command)
