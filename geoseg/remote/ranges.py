"""One request for a range of bytes, and the proof that the answer is that range of that version of the file."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Self

import httpx

from geoseg.remote.policy import Patience
from geoseg.remote.trouble import Trouble, trouble_of_error, trouble_of_status

_FACT = re.compile(r"length=(\d*)(?:, etag=(.*?))?(?:, last-modified=(.*))?")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$")


@dataclass(frozen=True, slots=True)
class Version:
    """What a server says that tells one version of a file from another.

    Attributes:
        length: Bytes; ``None`` where the server does not say.
        etag: Or "".
        modified: ``Last-Modified``, or "".
        media_type: Content type, or "".
    """

    length: int | None
    etag: str
    modified: str
    media_type: str = ""

    @property
    def fact(self) -> str:
        """In one line, for keys."""
        stated = [("etag", self.etag), ("last-modified", self.modified)]
        length = "" if self.length is None else self.length
        return ", ".join([f"length={length}", *(f"{name}={value}" for name, value in stated if value)])

    @classmethod
    def of_fact(cls, fact: str) -> Self | None:
        """The version that a line of ``fact`` tells of; ``None`` where it tells none."""
        match = _FACT.fullmatch(fact)
        if match is None:
            return None
        length, etag, modified = match.groups(default="")
        return cls(int(length) if length else None, etag, modified)

    def contradicts(self, other: Version) -> bool:
        """Whether the two are sure to be of different content.

        A strong ETag decides where both have one. Weak ones may differ between the machines behind one name and count
        for nothing.
        """
        if None not in {self.length, other.length} and self.length != other.length:
            return True
        if all(etag and not etag.startswith("W/") for etag in (self.etag, other.etag)):
            return self.etag != other.etag
        return bool(self.modified and other.modified) and self.modified != other.modified


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes that were checked.

    Attributes:
        version: Of the file they are from.
        body: The range; fewer bytes than asked for only where the file ends. ``None`` where the server sent the whole
            file instead, which is then in the file that was given for it.
    """

    version: Version
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Asker:
    """Sends requests for ranges.

    Attributes:
        client: The connections.
        patience: Bounds.
        clock: Seconds of a clock that never goes back.
    """

    client: httpx.Client
    patience: Patience
    clock: Callable[[], float] = time.monotonic

    def ask(self, href: str, start: int, stop: int, whole: Callable[[int | None], BinaryIO]) -> Answer:
        """One request.

        Args:
            href: Address, signed.
            start: First byte.
            stop: Behind the last byte.
            whole: Gives a file for the whole content, where the server sends that; told its length if it is known.

        Raises:
            Trouble: If there is no answer, or it is not the range that was asked for.
        """
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with self._answer(href, headers) as answer:
            if answer.status_code == httpx.codes.PARTIAL_CONTENT:
                return self._part(href, answer, start, stop)
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return _behind_the_end(href, answer, start)
            if answer.status_code != httpx.codes.OK:
                raise trouble_of_status(href, answer)
            return self._whole(href, answer, whole)

    @contextmanager
    def _answer(self, href: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        try:
            with self.client.stream("GET", href, headers=headers, timeout=self.patience.timeout) as answer:
                yield answer
        except httpx.HTTPError as err:
            raise trouble_of_error(href, err) from None  # the cause would repeat the signed address
        except httpx.InvalidURL as err:
            raise Trouble(href, f"no address: {err}", "transport") from None

    def _part(self, href: str, answer: httpx.Response, start: int, stop: int) -> Answer:
        found = _CONTENT_RANGE.match(answer.headers.get("content-range", ""))
        packed = answer.headers.get("content-encoding", "identity") != "identity"
        if packed or found is None or found[1] is None or int(found[1]) != start:
            stated = "of a compressed body" if packed else answer.headers.get("content-range", "none")
            raise Trouble(href, f"asked for bytes {start}-{stop - 1}, got the range {stated}", "no-ranges")
        total = None if found[3] == "*" else int(found[3])
        expected = min(stop, total if total is not None else int(found[2]) + 1) - start
        body = b"".join(self._chunks(href, answer, expected))
        if len(body) != expected:
            raise _cut_short(href, len(body), expected)
        return Answer(_version(answer, total), body)

    def _whole(self, href: str, answer: httpx.Response, whole: Callable[[int | None], BinaryIO]) -> Answer:
        stated = answer.headers.get("content-length", "")
        length = int(stated) if stated.isdigit() else None
        file, written = whole(length), 0
        for chunk in self._chunks(href, answer, None):
            written += file.write(chunk)
        if length is not None and written != length:
            raise _cut_short(href, written, length)
        file.flush()
        return Answer(_version(answer, written), None)

    def _chunks(self, href: str, answer: httpx.Response, most: int | None) -> Iterator[bytes]:
        """The body, as long as it comes fast enough and is no longer than expected."""
        begun, came = self.clock(), 0
        for chunk in answer.iter_raw():  # as it comes: a chunk of a size would wait for a slow one
            came += len(chunk)
            if most is not None and came > most:
                raise Trouble(href, f"more than the {most} bytes that were asked for", "no-ranges")
            yield chunk
            took_s = self.clock() - begun
            if took_s > self.patience.slow_after_s and came < took_s * self.patience.slow_bytes_per_s:
                words = f"the server stalled: {came} bytes in {took_s:.0f} s"
                raise Trouble(href, words, "stall", is_transient=True)


def _cut_short(href: str, came: int, expected: int) -> Trouble:
    return Trouble(href, f"the body was cut short: {came} of {expected} bytes", "short", is_transient=True)


def _behind_the_end(href: str, answer: httpx.Response, start: int) -> Answer:
    found = _CONTENT_RANGE.match(answer.headers.get("content-range", ""))
    if found is None or found[3] == "*" or int(found[3]) > start:
        raise trouble_of_status(href, answer)
    return Answer(_version(answer, int(found[3])), b"")


def _version(answer: httpx.Response, length: int | None) -> Version:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    return Version(length, answer.headers.get("etag", ""), answer.headers.get("last-modified", ""), kind)
