"""Warnings of libraries about documents of others: kept off the terminal while somebody reads them."""

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


def test_threads_that_overlap_leave_nothing_behind() -> None:
    """The second begins before the first ends and ends after it: both are unheard, and afterwards nobody is."""
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

    before = list(warnings.filters)
    thread = threading.Thread(target=second)
    with unheard():
        thread.start()
        second_is_in.wait(30)
    first_is_out.set()
    thread.join()
    assert not heard
    assert warnings.filters == before
    with pytest.raises(UserWarning, match="of nobody"):
        warnings.warn("of nobody", stacklevel=1)
