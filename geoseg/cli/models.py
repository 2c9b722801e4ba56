"""``geoseg models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.errors import ModelSpecError

if TYPE_CHECKING:
    from geoseg.models import ModelFolder, ModelSpec

app = typer.Typer(help="Models: what there is, and whether they are what they say.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="Name or folder of a model.")]


def _folder(reference: str, *, measured: bool = True) -> ModelFolder:
    from geoseg.models import resolve  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415

    settings = Settings.with_options()
    return resolve(
        reference,
        models_dirs=settings.models,
        cache=settings.cache,
        offline=settings.offline,
        measured=measured,
    )


@app.command("list")
def list_command() -> None:
    """Name every model: built in, and in the folders of GEOSEG_MODELS."""
    from geoseg.models import list_models  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415

    settings = Settings.with_options()
    for folder in list_models(models_dirs=settings.models, cache=settings.cache):
        typer.echo(f"{folder.spec.name:<20} {folder.spec.title} ({folder.spec.licence})")


@app.command("show")
def show(
    model: Reference,
    as_json: Annotated[bool, typer.Option("--json", help="Print the model's STAC item as it is.")] = False,
) -> None:
    """Print what is known of a model: what it reads, what it gives, what it costs and whose it is."""
    import json  # noqa: PLC0415

    spec = _folder(model).spec
    if as_json:
        typer.echo(json.dumps(spec.to_item(), indent=2))
        return
    rows = _facts(spec)
    wide = max(len(name) for name, _ in rows)
    for name, text in rows:
        if text:
            typer.echo(f"{name:<{wide}}  {text}")
    typer.echo("\nclass  colour   code  name")
    for info in spec.classes:
        code = "" if info.code is None else info.code
        typer.echo(f"{info.index:>5}  {info.colour}  {code:>4}  {info.name}")


def _facts(spec: ModelSpec) -> list[tuple[str, str]]:
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
        ("licence", spec.licence),
        ("attribution", spec.attribution),
        ("source", spec.source),
        ("reads", f"{', '.join(spec.bands)} ({spec.quantity})"),
        ("trained on", spec.expects or ""),
        ("input steps", ", then ".join(step.op for step in spec.transform)),
        ("pixels", ", ".join(filter(None, (trained, f"runs on {span}" if span else "")))),
        ("kind", f"{spec.kind}, {chips}, stride {spec.stride_px} px, cells of {spec.cell_px} x {spec.cell_px} px"),
        ("memory", f"{spec.workspace_bytes_per_px:g} bytes per pixel of a chip"),
        ("network", spec.architecture),
        ("head", "" if spec.head == "semantic" else spec.head),
        ("weights", f"{weights.file_name} ({large}SHA-256 {weights.sha256}) from {place}"),
        *(("note", note) for note in spec.notes),
    ]


@app.command("check")
def check(
    model: Reference,
    write: Annotated[bool, typer.Option("--write", help="Put what was measured into the model's item.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Measure kind, stride, radius and workspace of a network and hold them against what its item says."""
    del debug
    from geoseg.models.check import check_model  # noqa: PLC0415

    report = check_model(_folder(model, measured=False), write=write)
    typer.echo(report.describe())
    if not report.agrees and not write:
        raise ModelSpecError(
            f"the item of {model}, which differs from what was measured",
            "a spec that the network keeps",
            f"geoseg models check {model} --write puts the measured values in",
        )
