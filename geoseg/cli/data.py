"""``geoseg data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.errors import RequestError

if TYPE_CHECKING:
    from geoseg.labels.check import CheckReport

app = typer.Typer(help="Labelled data: whether a network can be trained on them.", no_args_is_help=True)
_GROUPS_SHOWN = 24


@app.command("check")
def check_command(
    config: Annotated[Path, typer.Argument(help="YAML file with a data block, as geoseg train takes it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Read every labelled image once and say what is wrong with them.

    Class shares, nodata, CRS and pixel sizes, label values without a class, mixed types of numbers, images that overlap
    across groups, and copies of images, turned or compressed ones too. Exit status 2 where training would go wrong.
    """
    del debug
    import json  # noqa: PLC0415

    from rich.progress import Progress  # noqa: PLC0415

    from geoseg.cli.progress import console  # noqa: PLC0415
    from geoseg.labels.check import check  # noqa: PLC0415
    from geoseg.labels.config import read_data, read_yaml  # noqa: PLC0415

    document = read_yaml(config)
    if "data" not in document:
        raise RequestError(f"{config} without data", "a data block", "docs/howto/labels.md has one to start from")
    labels, held_out = read_data(document["data"], config.parent)
    with Progress(console=console(), transient=True, disable=quiet) as progress:
        task = progress.add_task("images")
        report = check(labels, held_out, lambda done, of: progress.update(task, completed=done, total=of))
    typer.echo(json.dumps(report.to_json(), indent=2) if as_json else describe(report))
    if report.is_wrong:
        raise typer.Exit(RequestError.exit_code)


def describe(report: CheckReport) -> str:
    """The report for people."""
    counts = report.counts
    labelled = max(1, int(counts.sum()))
    pixels = max(1, sum(seen.pixels for seen in report.images))
    ignored, nodata = (sum(getattr(seen, name) for seen in report.images) for name in ("ignored_px", "nodata_px"))
    groups = report.groups()
    lines = [
        f"{report.facts['title'] or 'labelled data'} (licence: {report.facts['licence']})",
        (
            f"{len(report.images)} images in {len(groups)} groups, {pixels:,} pixels: {labelled:,} labelled, "
            f"{ignored / pixels:.1%} without a label, {nodata / pixels:.1%} nodata"
        ),
        "",
        *_table(
            ["class", "pixels", "share"],
            [
                [name, f"{px:,}", f"{px / labelled:.2%}"]
                for name, px in zip(report.classes, counts.tolist(), strict=True)
            ],
        ),
        "",
    ]
    if len(groups) > 1:
        rows = [
            [name + " (held out)" * (name in report.held_out), str(number)]
            + [f"{px / max(1, int(of.sum())):.1%}" for px in of.tolist()]
            for name, (number, of) in list(groups.items())[:_GROUPS_SHOWN]
        ]
        lines += _table(["group", "images", *report.classes], rows)
        lines += [f"… and {len(groups) - _GROUPS_SHOWN} more"] * (len(groups) > _GROUPS_SHOWN) + [""]
    for finding in report.findings:
        lines += [f"{finding.severity}: {finding.words}", f"{' ' * len(finding.severity)}  {finding.todo}"]
    wrong = sum(finding.severity == "wrong" for finding in report.findings)
    return "\n".join([*lines, f"{wrong} wrong, {len(report.findings) - wrong} to note"])


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns of one width, the first to the left and the others to the right."""
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join([row[0].ljust(wide[0]), *(cell.rjust(width) for cell, width in zip(row[1:], wide[1:], strict=True))])
        for row in (head, *rows)
    ]
