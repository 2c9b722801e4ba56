"""Files that somebody names: plain ones and no others, and names that a file system takes.

A pipe in the place of a file waits for whoever writes into it, for ever; a device gives bytes without end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePath

from geoseg.errors import RequestError

_SHOWN = 80


def check_plain(path: str | Path) -> None:
    """See that a path leads to a file with an end, or to a folder.

    Raises:
        OSError: If there is nothing, or a pipe, a socket or a device.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # takes what Path refuses to be made of
    except ValueError as err:  # a NUL in it
        raise FileNotFoundError(errno.ENOENT, str(err), str(path)) from err
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "a pipe or a device instead of a file", str(path))


def is_file(path: Path) -> bool:
    """Whether there is a plain file; none has a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_text(text: str) -> bool:
    """Whether a text has no NUL and can be written in UTF-8."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


def check_words(option: str, value: object) -> None:
    """Refuse text that is no text: with a NUL, or bytes of a name that are no UTF-8.

    Args:
        option: How messages call it.
        value: A text, a path, or several; anything else is left to others.

    Raises:
        RequestError: With the text.
    """
    for part in value if isinstance(value, list | tuple) else (value,):
        text = str(part) if isinstance(part, str | PurePath) else ""
        if not is_text(text):
            raise RequestError(
                f"{option} {ascii(text[:_SHOWN])[1:-1]}",
                "text in UTF-8 without the character NUL",
                "correct it; a file with such a name has to be renamed",
            )
