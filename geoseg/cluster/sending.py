"""Errors that arrive: what a worker met, in a form that another machine can read."""

from __future__ import annotations

import traceback

from geoseg import errors
from geoseg.errors import GeosegError

# A scheduler cuts what is longer than some thousand characters, and with it what kind of error it was.
_LONGEST, _LONGEST_TRACE = 1_500, 4_000


def sendable(error: Exception, place: str) -> GeosegError:
    """An error as one of geoseg's own kinds, with nothing but words in it.

    What code of others raises may be of a class that only the worker has, or hold a lock or an open file. Dask then
    drops the message or cannot read it at the other end, and a run would wait for ever for a tile that has failed.

    Args:
        error: What was raised. Its traceback becomes a note, which ``--debug`` shows.
        place: Where, in words, for errors that do not say it themselves.
    """
    if isinstance(error, GeosegError):
        own = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
        made: GeosegError = own(*(_short(part) for part in (error.given, error.expected, error.todo)))
    else:
        made = GeosegError(
            place,
            f"no {type(error).__name__}: {_short(_words_of(error))}",
            "this is a fault in geoseg, or in a plug-in; run again with --debug and report what it prints",
        )
    made.add_note("on the worker:\n" + "".join(traceback.format_exception(error))[-_LONGEST_TRACE:])
    return made


def _words_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception as err:  # noqa: BLE001  # code of others too
        return f"an error without words ({type(err).__name__})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
