"""``geoseg submit``, ``geoseg status`` and ``geoseg results``: a job on a service."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoseg.errors import GeosegError, RequestError

if TYPE_CHECKING:
    import httpx

_LOOK_S = 1.0
_FINAL = ("successful", "failed", "dismissed")

Url = Annotated[
    str,
    typer.Option("--url", envvar="GEOSEG_URL", help="Address of the service. Default: http://127.0.0.1:8000."),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, as submit prints it.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
_HERE = "http://127.0.0.1:8000"


def submit_command(
    process: Annotated[str, typer.Argument(help="landcover, landslide, demo or another workflow of the service.")],
    aoi: Annotated[
        str | None, typer.Option("--aoi", help="Region: a vector file, or WEST,SOUTH,EAST,NORTH in degrees.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--input", help="NAME=VALUE: another input of the process; a value may be JSON. Repeat it."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the job.")] = False,
    url: Url = _HERE,
    debug: Debug = False,
) -> None:
    """Ask a service for a map; prints the id of the job."""
    del debug
    inputs: dict[str, Any] = dict(_input(words) for words in option or [])
    if aoi is not None:
        from geoseg.aoi import AOI  # noqa: PLC0415  # shapely

        inputs["aoi"] = AOI.read(aoi).to_geojson()
    with _client(url) as client:
        answer = _asked(
            client,
            "POST",
            f"/processes/{process}/execution",
            json={"inputs": inputs},
            headers={"Prefer": "respond-async"},
        )
        status = answer.json()
        typer.echo(status["jobID"])
        if wait:
            _end(_awaited(client, status["jobID"]))


def status_command(
    job: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the job.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole status as JSON.")] = False,
    url: Url = _HERE,
    debug: Debug = False,
) -> None:
    """Say how far a job is."""
    del debug
    with _client(url) as client:
        status = _awaited(client, job) if wait else _asked(client, "GET", f"/jobs/{job}").json()
    typer.echo(json.dumps(status) if as_json else f"{status['status']}, {status['progress']} %: {status['message']}")
    if wait:
        _end(status)


def results_command(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the files into.")] = Path("geoseg-results"),
    url: Url = _HERE,
    debug: Debug = False,
) -> None:
    """Fetch all files of a finished job; files that are there whole are not fetched again."""
    del debug
    with _client(url) as client:
        links = _asked(client, "GET", f"/jobs/{job}/files").json()["links"]
        for link in links:
            _fetch(client, job, str(link["title"]), out)
    typer.echo(str(out))


def _input(words: str) -> tuple[str, Any]:
    name, equals, text = words.partition("=")
    if not equals or not name:
        raise RequestError(f"--input {words}", "NAME=VALUE", "such as --input composite=median")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


@contextmanager
def _client(url: str) -> Iterator[httpx.Client]:
    """A client that shows the key of GEOSEG_API_KEY."""
    import httpx  # noqa: PLC0415  # a tenth of a second that --help need not wait

    from geoseg.remote import redacted  # noqa: PLC0415  # as above

    key = os.environ.get("GEOSEG_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        client = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=120.0)
    except httpx.InvalidURL as err:
        raise RequestError(
            f"--url {redacted(url)}: {err}", "the address of a service", "such as http://127.0.0.1:8000"
        ) from err
    with client:
        yield client


def _asked(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """An answer that is no refusal.

    Raises:
        GeosegError: If it is one, in its words, or there is none.
    """
    import httpx  # noqa: PLC0415

    from geoseg.remote import redacted  # noqa: PLC0415

    try:
        answer = client.request(method, path, **more)
    except (httpx.HTTPError, httpx.InvalidURL) as err:
        raise GeosegError(
            f"--url {redacted(str(client.base_url))}: {err}", "a service that answers", "geoseg serve starts one"
        ) from err
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
        first = (problem.get("errors") or [{}])[0]
    except ValueError:
        problem, first = {}, {}
    kind = RequestError if answer.is_client_error else GeosegError
    raise kind(
        f"{method} {path}: {answer.status_code}, {first.get('given') or problem.get('detail') or answer.reason_phrase}",
        first.get("expected") or "a request that the service takes",
        first.get("hint") or problem.get("hint") or "see the service's /docs",
    )


def _awaited(client: httpx.Client, job: str) -> dict[str, Any]:
    """The status of a job once it is final."""
    while True:
        status: dict[str, Any] = _asked(client, "GET", f"/jobs/{job}").json()
        if status["status"] in _FINAL:
            return status
        time.sleep(_LOOK_S)


def _end(status: dict[str, Any]) -> None:
    """An exit status that is not 0 for a job that came to no good end."""
    if status["status"] == "successful":
        return
    problem = (status.get("exception") or {}).get("errors") or [{}]
    raise GeosegError(
        f"the job {status['jobID']}, {status['status']}: {problem[0].get('given') or status['message']}",
        problem[0].get("expected") or "a job that is successful",
        problem[0].get("hint") or "ask for it again",
    )


def _fetch(client: httpx.Client, job: str, name: str, out: Path) -> None:
    """A file below the folder, under its final name only when it is whole."""
    path = (out / name).resolve()
    if not path.is_relative_to(out.resolve()):
        raise GeosegError(f"a file called {name!r}", "names below the output folder", "do not trust this service")
    with client.stream("GET", f"/jobs/{job}/files/{name}") as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("content-length", -1))
        if path.is_file() and path.stat().st_size == size:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            for chunk in answer.iter_bytes():
                stream.write(chunk)
        part.replace(path)
