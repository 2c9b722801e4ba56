"""Warnings of libraries about documents of others: kept off the terminal, in the thread that reads them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator

import pytest

from geoseg.scenes.catalogs import unheard


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    """What is heard is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_warnings_are_unheard_inside_and_heard_outside() -> None:
    with unheard():
        warnings.warn("of a document", stacklevel=1)
        with pytest.warns(DeprecationWarning, match="ours"):
            warnings.warn("ours", DeprecationWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="afterwards"):
        warnings.warn("afterwards", stacklevel=1)


def test_threads_that_overlap_do_not_hear_for_each_other() -> None:
    """The second begins before the first ends and ends after it: nothing of either is left behind."""
    second_is_in, first_is_out = threading.Event(), threading.Event()
    heard: list[str] = []

    def second() -> None:
        with unheard():
            second_is_in.set()
            first_is_out.wait(30)
            try:
                warnings.warn("of the second", stacklevel=1)
            except UserWarning as err:
                heard.append(str(err))

    thread = threading.Thread(target=second)
    with unheard():
        thread.start()
        second_is_in.wait(30)
    with pytest.raises(UserWarning, match="of the first"):  # while the second reads
        warnings.warn("of the first", stacklevel=1)
    first_is_out.set()
    thread.join()
    assert not heard
    with pytest.raises(UserWarning, match="of nobody"):
        warnings.warn("of nobody", stacklevel=1)
