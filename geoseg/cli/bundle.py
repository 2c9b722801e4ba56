"""``geoseg bundle``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from geoseg.cli import completion

if TYPE_CHECKING:
    from geoseg.bundle import Manifest

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


class _Bundle(TyperGroup):
    """``geoseg bundle OUT`` packs; what is no other command is a place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer has no public name for it
        known = {*self.commands, "--help"}
        return super().parse_args(ctx, args if not args or args[0] in known else ["pack", *args])


app = typer.Typer(
    cls=_Bundle, help="What a machine without a network needs: geoseg bundle OUT packs it.", no_args_is_help=True
)


@app.command("pack")
def pack(
    out: Annotated[Path, typer.Argument(help="Folder to make, or a ZIP file where the name ends with .zip.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Model to pack; repeat for several. Default: that of the workflow.",
            autocompletion=completion.models,
        ),
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(
            "--workflow",
            help="Workflow whose model to pack. Default: landcover, if no --model is given.",
            autocompletion=completion.workflows,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Pack models with weights, licences, a sample and the versions of libraries. The word pack may be left out."""
    del debug
    from geoseg.bundle import bundle_name, make_bundle  # noqa: PLC0415  # rasterio and scipy, for the sample
    from geoseg.models import resolve  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415
    from geoseg.spec import load_workflow  # noqa: PLC0415

    settings = Settings.with_options()
    workflows = [workflow] if workflow else [] if model else ["landcover"]
    # The sample runs with the demo's model.
    references = [*(model or []), *(str(load_workflow(name)["model"]) for name in (*workflows, "demo"))]
    models = {}
    for reference in references:
        folder = resolve(reference, models_dirs=settings.models, cache=settings.cache, offline=settings.offline)
        models[bundle_name(reference, folder)] = folder
    manifest = make_bundle(out.expanduser().absolute(), models)
    _say(out, manifest)


@app.command("check")
def check(
    place: Annotated[Path, typer.Argument(help="Folder or ZIP file of a bundle.")],
    debug: Debug = False,
) -> None:
    """Hold every file of a bundle against its SHA-256; end with status 1 if one is missing, altered or added."""
    del debug
    from geoseg.bundle import check_bundle  # noqa: PLC0415

    _say(place, check_bundle(place))


def _say(place: Path, manifest: Manifest) -> None:
    from geoseg.outputs.report_text import size  # noqa: PLC0415

    names = ", ".join(model.name for model in manifest.models)
    typer.echo(f"{place}: whole; {len(manifest.files)} files, {size(manifest.total_bytes)}, geoseg {manifest.geoseg}")
    typer.echo(f"models: {names}")
    for model in manifest.models:
        if model.warning:
            typer.echo(f"note: {model.warning}", err=True)
