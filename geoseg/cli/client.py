"""``geoseg submit``, ``geoseg status`` and ``geoseg results``: a job on a service."""

from __future__ import annotations

import email.utils
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from geoseg.errors import GeosegError, RequestError

if TYPE_CHECKING:
    import httpx

_LOOK_S = 1.0
_PATIENCE_S = 120.0  # a service that is started again is waited for so long
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
    inputs = _inputs(option or ())
    if aoi is not None:
        from geoseg.aoi import AOI  # noqa: PLC0415  # shapely

        inputs["aoi"] = AOI.read(aoi).to_geojson()
    with _client(url) as client:
        answer = _asked(
            client,
            "POST",
            f"/processes/{process}/execution",
            patience_s=_PATIENCE_S,
            json={"inputs": inputs},
            headers={"Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())},  # asked twice it is one job
        )
        status = answer.json()
        typer.echo(status["jobID"])
        if wait:
            _end(_awaited(client, status["jobID"], is_there=True))


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
        status = (
            _awaited(client, job, is_there=False)
            if wait
            else _asked(client, "GET", f"/jobs/{quote(job, safe='')}").json()
        )
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
        links = _asked(client, "GET", f"/jobs/{quote(job, safe='')}/files").json()["links"]
        for link in links:
            _fetch(client, job, str(link["title"]), out)
    typer.echo(str(out))


def _inputs(options: Iterable[str]) -> dict[str, Any]:
    """Inputs by name; one that is given several times is a list."""
    found: dict[str, list[Any]] = {}
    for words in options:
        name, equals, text = words.partition("=")
        if not equals or not name:
            raise RequestError(f"--input {words}", "NAME=VALUE", "such as --input composite=median")
        found.setdefault(name, []).append(_value(name, text))
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _value(name: str, text: str) -> Any:
    """JSON where it is some; a year or another number for an input that takes words stays a text."""
    from geoseg.spec import JobSpec  # noqa: PLC0415  # pydantic

    try:
        value = json.loads(text)
    except ValueError:
        return text
    field = JobSpec.model_fields.get(name)
    takes_words = field is not None and not any(kind in str(field.annotation) for kind in ("float", "bool"))
    return text if takes_words and isinstance(value, int | float) else value


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


def _asked(
    client: httpx.Client, method: str, path: str, *, patience_s: float = 0.0, is_there: bool = False, **more: Any
) -> httpx.Response:
    """An answer that is no refusal.

    Args:
        client: Of the service.
        method: HTTP method.
        path: Below the service's address.
        patience_s: How long to ask again where the service is away for a moment, or says that it is busy.
        is_there: Whether it has answered before; where nobody ever did, a closed port is waited for by nobody.
        **more: Of the request.

    Raises:
        GeosegError: If it is a refusal, in its words, or there is none.
    """
    import httpx  # noqa: PLC0415

    end = time.monotonic() + patience_s
    while True:
        try:
            answer = client.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            refusal = _away(client, err)
            nobody = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
            may_pass = isinstance(err, httpx.TransportError) and (is_there or not isinstance(err, nobody))
            wait_s = _LOOK_S if may_pass else None
        else:
            if answer.is_success:
                return answer
            refusal = _refusal(answer, f"{method} {path}")
            wait_s = _told_to_wait_s(answer)
        if wait_s is None or time.monotonic() + wait_s >= end:
            raise refusal
        time.sleep(wait_s)


def _away(client: httpx.Client, err: Exception) -> GeosegError:
    from geoseg.remote import redacted  # noqa: PLC0415  # rarely wanted

    where = redacted(str(client.base_url))
    return GeosegError(f"--url {where}: {err}", "a service that answers", "geoseg serve starts one")


def _refusal(answer: httpx.Response, asked: str) -> GeosegError:
    """What a service said, as an error of three lines."""
    try:
        problem = answer.json()
        first = (problem.get("errors") or [{}])[0]
    except (ValueError, AttributeError):  # of a proxy, in words of its own
        problem, first = {}, {}
    kind = RequestError if answer.is_client_error else GeosegError
    return kind(
        f"{asked}: {answer.status_code}, {first.get('given') or problem.get('detail') or answer.reason_phrase}",
        first.get("expected") or "a request that the service takes",
        first.get("hint") or problem.get("hint") or "see the service's /docs",
    )


def _told_to_wait_s(answer: httpx.Response) -> float | None:
    """After how long to ask again: as told, or soon where a proxy answers for a service that is away; else not at all."""
    told = answer.headers.get("retry-after", "")
    if answer.status_code in {429, 503} and told.isdecimal():
        return max(_LOOK_S, float(told))
    is_proxy = not answer.headers.get("content-type", "").startswith("application/problem+json")
    return _LOOK_S if is_proxy and answer.status_code in {502, 503, 504} else None


def _awaited(client: httpx.Client, job: str, *, is_there: bool) -> dict[str, Any]:
    """The status of a job once it is final; jobs survive a service that is started again, and so does this."""
    path = f"/jobs/{quote(job, safe='')}"
    while True:
        status: dict[str, Any] = _asked(client, "GET", path, patience_s=_PATIENCE_S, is_there=is_there).json()
        is_there = True
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
    """A file below the folder, under its final name only when it is whole.

    It gets the service's own time of its last change: a file of that size and time is the same one.
    """
    import httpx  # noqa: PLC0415

    path = (out / name).resolve()
    if not path.is_relative_to(out.resolve()):
        raise GeosegError(f"a file called {name!r}", "names below the output folder", "do not trust this service")
    address = f"/jobs/{quote(job, safe='')}/files/{quote(name)}"
    try:
        with client.stream("GET", address) as answer:
            if not answer.is_success:
                answer.read()
                raise _refusal(answer, f"GET {address}")
            changed_s = _changed_s(answer)
            size = int(answer.headers.get("content-length", -1))
            if path.is_file() and (path.stat().st_size, int(path.stat().st_mtime)) == (size, changed_s):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            with part.open("wb") as stream:
                for chunk in answer.iter_bytes():
                    stream.write(chunk)
    except httpx.HTTPError as err:
        raise _away(client, err) from err
    if changed_s is not None:
        os.utime(part, (changed_s, changed_s))
    part.replace(path)


def _changed_s(answer: httpx.Response) -> int | None:
    """When the service's file was last changed, in seconds since 1970."""
    try:
        return int(email.utils.parsedate_to_datetime(answer.headers["last-modified"]).timestamp())
    except (KeyError, ValueError):
        return None
