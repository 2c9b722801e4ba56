"""``geoseg cache``."""

from __future__ import annotations

import typer

app = typer.Typer(help="The tile store, and models and weights that were fetched or added.", no_args_is_help=True)


@app.command("info")
def info() -> None:
    """Say where the cache is and how much it holds."""
    from geoseg.settings import Settings  # noqa: PLC0415

    folder = Settings.with_options().cache
    typer.echo(f"folder: {folder}")
    for part in ("tiles", "weights", "models"):
        files = [path for path in (folder / part).rglob("[!.]*") if path.is_file()]  # locks are no content
        typer.echo(f"{part}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:,.1f} MB")


@app.command("clear")
def clear() -> None:
    """Remove every tile record. Models and weights are kept."""
    from geoseg.settings import Settings  # noqa: PLC0415
    from geoseg.store import TileStore  # noqa: PLC0415

    folder = Settings.with_options().cache / "tiles"
    TileStore(folder).clear()
    typer.echo(f"empty: {folder}")
