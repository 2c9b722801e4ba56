"""``geoseg serve``, ``geoseg worker`` and ``geoseg keys``: doors to the service, which is another package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.errors import RequestError

if TYPE_CHECKING:
    from geoseg_api.settings import ServiceSettings
    from geoseg_api.store import KeyStore

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of jobs and results. Default: geoseg-service.", show_default=False),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="postgresql://… of a job store that several machines share. Default: SQLite in --data.",
        show_default=False,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]

keys = typer.Typer(name="keys", help="API keys of a service.", no_args_is_help=True)


def _settings(**options: Any) -> ServiceSettings:
    try:
        from geoseg_api.settings import ServiceSettings  # noqa: PLC0415  # another package, which may want its extra
    except ImportError as err:
        raise _missing(err) from err
    return ServiceSettings.with_options(**options)


def _missing(err: ImportError) -> RequestError:
    return RequestError(f"the service without {err.name}", "its extra", "pip install 'geoseg[service]'")


def serve_command(
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on. Default: 127.0.0.1, this machine.", show_default=False),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port; 0 takes any that is free. Default: 8000.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Worker processes to start; 0: none. Default: 1.", show_default=False),
    ] = None,
    data: Data = None,
    database: Database = None,
    with_echo: Annotated[
        bool, typer.Option("--with-echo", help="Offer the process echo, for tests of clients.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Serve jobs over HTTP, with a worker beside the server.

    Everything else that can be set is a variable GEOSEG_SERVICE_…; what jobs compute with is said by GEOSEG_…, as for run.
    """
    del debug
    settings = _settings(
        host=host, port=port, workers=workers, data=data, database=database, with_echo=with_echo or None
    )
    try:
        from geoseg_api.serving import serve  # noqa: PLC0415
    except ImportError as err:
        raise _missing(err) from err
    serve(settings)


def worker_command(data: Data = None, database: Database = None, debug: Debug = False) -> None:
    """Take jobs of a service from its store, one after the other, until a signal comes."""
    del debug
    settings = _settings(data=data, database=database)
    from geoseg_api.logs import log_as_json  # noqa: PLC0415
    from geoseg_api.worker import run_worker  # noqa: PLC0415

    log_as_json(settings.log_level)
    run_worker(settings)


@keys.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="For whom.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, run or admin; repeat it. Default: read and run.", show_default=False),
    ] = None,
    area_per_day: Annotated[
        float | None,
        typer.Option(
            "--area-per-day", help="Its quota in square kilometres. Default: the service's.", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", help="Most unfinished jobs. Default: the service's.", show_default=False)
    ] = None,
    data: Data = None,
    database: Database = None,
    debug: Debug = False,
) -> None:
    """Make a key and print it: the only time that anybody sees it."""
    del debug
    settings = _settings(data=data, database=database)
    from geoseg_api.store.keys import SCOPES  # noqa: PLC0415

    scopes = scope or ["read", "run"]
    if not set(scopes) <= set(SCOPES):
        raise RequestError(f"--scope {' '.join(scopes)}", f"of {', '.join(SCOPES)}", "correct it")
    typer.echo(_key_store(settings, may_be_new=True).add(name, scopes, area_per_day, jobs))
    where = settings.data if settings.database is None else "this database"
    typer.echo(f"a key for the service of {where}; callers send it as Authorization: Bearer KEY", err=True)


@keys.command("list")
def keys_list(data: Data = None, database: Database = None, debug: Debug = False) -> None:
    """Say which keys there are; their texts nobody knows."""
    del debug
    settings = _settings(data=data, database=database)
    from geoseg_api.clocks import rfc3339  # noqa: PLC0415

    for key in _key_store(settings).list():
        state = "good" if key.revoked is None else f"revoked {rfc3339(key.revoked)}"
        typer.echo(f"{key.id}  {rfc3339(key.created)}  {state}  {' '.join(sorted(key.scopes))}  {key.name}")


@keys.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As geoseg keys list prints it.")],
    data: Data = None,
    database: Database = None,
    debug: Debug = False,
) -> None:
    """Make a key good for nothing from now on."""
    del debug
    if not _key_store(_settings(data=data, database=database)).revoke(identity):
        raise RequestError(f"the key {identity}", "the id of a key", "geoseg keys list shows them")


def _key_store(settings: ServiceSettings, *, may_be_new: bool = False) -> KeyStore:
    """The keys of a service; those of a folder without one are none that anybody means."""
    from geoseg_api.store import KeyStore, open_database  # noqa: PLC0415

    if not may_be_new and settings.database is None and not (settings.data / "service.db").is_file():
        raise RequestError(
            f"--data {settings.data}, which holds no service",
            "the folder that geoseg serve has, or its --database",
            "name it with --data",
        )
    return KeyStore(open_database(settings.data, settings.database))
