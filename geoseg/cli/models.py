"""``geoseg models``."""

from __future__ import annotations

from typing import Annotated

import typer

from geoseg.errors import ModelSpecError

app = typer.Typer(help="Models: what there is, and whether they are what they say.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="Name or folder of a model.")]


def _folder(reference: str, *, measured: bool = True):  # type: ignore[no-untyped-def]  # noqa: ANN202  # ModelFolder; importing it here costs --help
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
def show(model: Reference) -> None:
    """Print what is known of a model."""
    import json  # noqa: PLC0415

    typer.echo(json.dumps(_folder(model).spec.to_item(), indent=2))


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
