"""``geoseg demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geoseg.errors import RequestError


def demo_command(
    folder: Annotated[Path, typer.Argument(help="Where to write.")] = Path("demo-data"),
    seed: Annotated[int, typer.Option(help="Another seed makes another landscape.")] = 7,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Write the embedded catalogue: generated Sentinel-2-like scenes, a UAV image, a DEM, a region and the truth."""
    del debug
    from geoseg.demo import write_demo  # noqa: PLC0415  # numpy, scipy and rasterio

    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder}, a file", "a folder to write the demo into", "name another folder")
    write_demo(folder, seed=seed, later=True)
    typer.echo(f"catalogue: {folder / 'catalog.json'}")
    typer.echo(f"region:    {folder / 'region.geojson'}")
    typer.echo(
        f"next:      geoseg run --workflow demo --catalog {folder / 'catalog.json'} --aoi {folder / 'region.geojson'}"
    )
    typer.echo(
        "two dates: geoseg run --workflow change --before 2021-12/2022-02 --after 2023-12 "
        f"--catalog {folder / 'catalog.json'} --aoi {folder / 'region.geojson'}"
    )
