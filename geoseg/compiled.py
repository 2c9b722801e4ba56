"""Loops over millions of pixels and vertices as machine code, which works without the interpreter's lock.

Types are said at once, so that each function is compiled once per machine; the code is kept beside the module, or in the
user's cache folder where that cannot be written. A module with compiled functions takes half a second to import, so rooms
that begin with a request import it late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from numba import njit


def compiled[Function: Callable[..., object]](types: str) -> Callable[[Function], Function]:
    """A decorator: the function, compiled for arguments of some types.

    Args:
        types: In numba's words, ``result(argument, …)``.
    """
    return cast(Callable[[Function], Function], njit(types, nogil=True, cache=True))
