"""``geoseg assess``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.errors import GeosegError, RequestError

if TYPE_CHECKING:
    from geoseg.assessment import Assessment, Imagery, Share

app = typer.Typer(
    help="How good a finished map is, and how large its classes are: draw a sample, label it, report.",
    no_args_is_help=True,
)
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Map = Annotated[Path, typer.Argument(metavar="RESULT", help="Output folder of a finished geoseg run.")]


@app.command("draw")
def draw(
    result: Map,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the sample. Default: RESULT-sample, beside the map.")
    ] = None,
    standard_error: Annotated[
        float, typer.Option("--standard-error", help="Wanted standard error of overall accuracy, such as 0.01.")
    ] = 0.01,
    samples: Annotated[
        int | None, typer.Option("--samples", help="How many samples, instead of --standard-error.", min=2)
    ] = None,
    expected: Annotated[
        list[str] | None,
        typer.Option(
            "--expected",
            help="User's accuracy that is expected, which the size depends on: 0.8, or for one class NAME=0.9; repeat for "
            "several. Default: 0.8.",
        ),
    ] = None,
    least: Annotated[
        int, typer.Option("--min-per-class", help="Samples of each stratum, at least; for rare classes.", min=2)
    ] = 50,
    low_confidence: Annotated[
        int | None,
        typer.Option(
            "--low-confidence",
            help="Percent: pixels of a class below this confidence become a stratum of their own.",
            min=1,
            max=100,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="A class that the map does not have and the ground may; repeat for several."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other pixels.", min=0)] = 1,
    no_chips: Annotated[
        bool, typer.Option("--no-chips", help="No pictures; else one around each sample, where the scenes can be read.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Draw a stratified random sample of a map's pixels, and write it for labelling: GeoPackage, CSV and pictures."""
    del debug
    from geoseg.assessment import FinishedMap, Wish, check_folder, plan_sample, write_sample  # noqa: PLC0415  # geopandas

    folder = out or result.absolute().with_name(f"{result.absolute().name}-sample")
    check_folder(folder)
    if not 0 < standard_error < 0.5:
        raise RequestError(f"--standard-error {standard_error}", "a number above 0 and below 0.5", "give such a number")
    finished = FinishedMap.open(result)
    one, of_class = _expectations(expected or [])
    wish = Wish(standard_error, samples, one, of_class, least, low_confidence, tuple(also or ()), seed)
    design = plan_sample(finished, wish)
    with ExitStack() as stack:
        imagery = None if no_chips else _imagery(result, stack)
        pictures = write_sample(folder, design, imagery)
    typer.echo(f"samples:  {len(design.samples)} of {len(design.strata)} strata, {pictures} with a picture")
    for stratum in design.strata:
        typer.echo(f"          {stratum.samples:>6}  {stratum.name} ({stratum.weight:.2%} of the area)")
    typer.echo(f"label:    {folder / 'sample.gpkg'} or {folder / 'sample.csv'}, the column label")
    typer.echo(f"          with one of: {', '.join(one.name for one in design.classes)}")
    typer.echo(f"then:     geoseg assess report {result} {folder}")


@app.command("report")
def report(
    result: Map,
    labels: Annotated[Path, typer.Argument(help="The folder that draw wrote, or the GeoPackage or CSV with labels.")],
    design: Annotated[
        Path | None, typer.Option("--design", help="sample.json of the sample. Default: the one beside the labels.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the report. Default: that of the labels.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the assessment as one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Report accuracy and areas with 95 % intervals from a labelled sample: table, JSON, CSV and a page."""
    del debug
    from geoseg.assessment import (  # noqa: PLC0415  # geopandas
        Design,
        FinishedMap,
        assess_map,
        find_design,
        read_labels,
        write_assessment,
    )

    sample = Design.read(design or find_design(labels))
    found = assess_map(FinishedMap.open(result), sample, read_labels(labels, sample))
    written = write_assessment(out or (labels if labels.is_dir() else labels.absolute().parent), found)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    _show(found)
    typer.echo(f"\npage: {written[-1]}")


def _expectations(words: list[str]) -> tuple[float, dict[str, float]]:
    """The accuracy that is expected of all classes, and of single ones."""
    one, of_class = 0.8, {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise RequestError(f"--expected {word}", "a share such as 0.8, or NAME=0.8", "correct it")
        if name:
            of_class[name] = value
        else:
            one = value
    return one, of_class


def _imagery(result: Path, stack: ExitStack) -> Imagery | None:
    """Pictures of the scenes that the map was made from; ``None`` where they cannot be read, which is said."""
    from geoseg.cli.progress import console  # noqa: PLC0415
    from geoseg.pipeline.imagery import imagery_of  # noqa: PLC0415  # the whole road, which reports need not load
    from geoseg.settings import Settings  # noqa: PLC0415

    try:
        return stack.enter_context(imagery_of(result, Settings.with_options()))
    except GeosegError as err:
        console().print(f"no pictures: {err.given}", markup=False)
        return None


def _show(found: Assessment) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from geoseg.assessment import amount, unit_of  # noqa: PLC0415

    unit = unit_of(found)
    table = Table("class", box=None, pad_edge=False)
    for name in ("counted", "area", "95 % interval", "user's", "producer's", "samples"):
        table.add_column(name, justify="right")
    for row in found.classes:
        table.add_row(
            row.name,
            amount(row.mapped_area, unit),
            f"{amount(row.area.value, unit)} ± {amount(row.area.margin, unit)}",
            f"{amount(row.area.low, unit)} … {amount(row.area.high, unit)}",
            _percent(row.users_accuracy),
            _percent(row.producers_accuracy),
            str(row.mapped_samples),
        )
    whole = found.overall_accuracy
    typer.echo(
        f"overall accuracy {_percent(whole)}, 95 % interval {whole.low:.1%} … {whole.high:.1%}, "
        f"{found.labelled} samples"
    )
    Console(width=160, markup=False).print(table)
    for note in found.notes:
        typer.echo(f"note: {note}")


def _percent(share: Share | None) -> str:
    return "-" if share is None else f"{100 * share.value:.1f} ± {100 * share.margin:.1f} %"
