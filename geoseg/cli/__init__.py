"""The command line: words to ``JobSpec`` and ``Settings``, errors to three lines and an exit status."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from geoseg.cli.launch import with_huge_pages
from geoseg.cli.listeners import Unheard, leave_stdout
from geoseg.cli.usage import UsageError, refusal
from geoseg.errors import GeosegError, RequestError

__all__ = ["main"]

_INTERRUPTED = 128 + signal.SIGINT
_OF_GEOSEG = "this is a fault in geoseg; run again with --debug and report what it prints"
_OF_THE_MACHINE = "see to the disk and the limits of this machine (df, ulimit -a); where these are as they should be, "
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def _app() -> typer.Typer:
    from geoseg import __version__  # noqa: PLC0415
    from geoseg.cli import assess, bundle, cache, client, data, demo, evaluate, models, run, serve, train  # noqa: PLC0415  # each imports its room only when it is called

    app = typer.Typer(
        name="geoseg",
        help="Turn satellite and UAV scenes into maps.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
        if version:
            typer.echo(__version__)
            raise typer.Exit

    app.command("run")(run.run_command)
    app.command("plan")(run.plan_command)
    app.command("demo")(demo.demo_command)
    app.command("train")(train.train_command)
    app.command("evaluate")(evaluate.evaluate_command)
    app.add_typer(models.app, name="models")
    app.add_typer(assess.app, name="assess")
    app.add_typer(cache.app, name="cache")
    app.add_typer(bundle.app, name="bundle")
    app.add_typer(data.app, name="data")
    app.command("serve")(serve.serve_command)
    app.command("worker")(serve.worker_command)
    app.add_typer(serve.keys, name="keys")
    app.command("submit")(client.submit_command)
    app.command("status")(client.status_command)
    app.command("results")(client.results_command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``geoseg``; ends the process with the exit status of the outcome."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        sys.stderr = Unheard(sys.stderr)
    if arguments is None and words[:1] in (["run"], ["train"]):
        with_huge_pages()  # before the libraries are there
    try:
        # Outside of its "standalone mode" the parser raises what it refuses, and gives the status of an early end.
        status = _app()(args=words, prog_name="geoseg", standalone_mode=False) or 0
        if status == _INTERRUPTED:  # the parser's word for Ctrl-C, of which it says nothing
            status = _told(KeyboardInterrupt(), words)
    except UsageError as err:
        if type(err).__name__ == "NoArgsIsHelpError":
            err.show()
        else:
            typer.echo(_unsigned(str(refusal(err, words))), err=True)
        status = RequestError.exit_code
    except (Exception, KeyboardInterrupt) as err:  # the job boundary
        if "--debug" in words:
            raise
        status = _told(err, words)
    leave_stdout()
    sys.exit(status)


def _told(err: BaseException, words: Sequence[str]) -> int:
    """Say what was raised; the exit status."""
    if isinstance(err, (KeyboardInterrupt, typer.Abort)):  # before a run looks after signals, or in a short command
        typer.echo("interrupted; run the same command again to go on", err=True)
        return _INTERRUPTED
    if not isinstance(err, GeosegError):
        err = _unforeseen(err, words)
    typer.echo(str(err), err=True)
    return err.exit_code


def _unforeseen(err: BaseException, words: Sequence[str]) -> GeosegError:
    """What is left: the machine's refusals, and faults of geoseg's own."""
    try:
        Path.cwd()
    except FileNotFoundError:
        gone = "the working folder, which has been removed"
        return RequestError(gone, "to be called in a folder that is there", "change to one and run the command again")
    is_refused = isinstance(err, OSError) and err.errno in _REFUSALS
    is_refused |= isinstance(err, MemoryError) or "can't start new thread" in str(err)
    fault = _unsigned(" ".join(words)), _unsigned(f"no {type(err).__name__}: {err}")
    return GeosegError(*fault, _OF_THE_MACHINE * is_refused + _OF_GEOSEG)


def _unsigned(text: str) -> str:
    """Words of the command without passwords and signatures."""
    from geoseg.remote import redacted  # noqa: PLC0415  # rarely wanted

    return redacted(text)
