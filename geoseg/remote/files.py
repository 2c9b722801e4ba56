"""Files on servers, as a job sees them: one version each, read in verified ranges."""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import BinaryIO, Self

import httpx

from geoseg.errors import AssetChangedError
from geoseg.remote import policy
from geoseg.remote.hosts import Breaker, gate_of
from geoseg.remote.pages import PAGE_BYTES, Pages, runs
from geoseg.remote.policy import Patience
from geoseg.remote.ranges import Answer, Asker, Version
from geoseg.remote.signing import Signer, signers_of
from geoseg.remote.trouble import Trouble
from geoseg.remote.words import keep_signatures_out_of_logs, unsigned

# Servers without ranges send whole files; these are kept on disk, within bounds.
_MOST_WHOLE_BYTES = 512 * 2**20
_MOST_SCRATCH_BYTES = 4 * 2**30
_REFUSED_SIGNATURE = frozenset({401, 403})
_LEAST_CACHE_BYTES = 8 * 2**20


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: the authorities cost a tenth of a second."""
    return httpx.create_ssl_context()


def is_remote(href: str) -> bool:
    """Whether geoseg itself reads an address, over HTTP. Paths and other schemes are GDAL's."""
    return href.startswith(("http://", "https://"))


class RemoteFile:
    """A file on a server. Its first answer says which version of it the job reads; another one ends the job.

    Args:
        href: Address, with or without a signature.
        files: The job's other files, with what all of them share.
    """

    def __init__(self, href: str, files: RemoteFiles) -> None:
        self.href = href
        self._files = files
        self._gate = gate_of(href)
        self._breaker = Breaker(strikes=1)
        self._signer = next((signer for signer in files.signers if signer.signs(href)), None)
        self._version: Version | None = None
        self._missing: Trouble | None = None  # what was not there at first is not there for the whole job
        self._whole: BinaryIO | None = None
        self._first = threading.Lock()

    @property
    def version(self) -> Version:
        """What the server says of the file; asks for its beginning where nothing is known yet.

        Raises:
            Trouble: If it does not answer.
        """
        with self._first:
            if self._version is None:
                self._fetch(range(1))
        assert self._version is not None  # noqa: S101  # an answer has a version
        return self._version

    def read(self, start: int, stop: int) -> bytes:
        """Bytes from ``start`` up to ``stop``; fewer only where the file ends.

        Raises:
            Trouble: If they cannot be had.
            AssetChangedError: If the file is no longer the one that the job began with.
        """
        length = self.version.length
        stop = stop if length is None else min(stop, length)
        if stop <= start:
            return b""
        if self._whole is not None:
            return os.pread(self._whole.fileno(), stop - start, start)
        numbers = range(start // PAGE_BYTES, -(-stop // PAGE_BYTES))
        pages = self._files.pages.get(self.href, numbers)
        for run in runs(numbers, dict(pages)):
            pages |= self._fetch(run)
            if self._whole is not None:
                return os.pread(self._whole.fileno(), stop - start, start)
        first = numbers.start * PAGE_BYTES
        return b"".join(pages[number] for number in numbers)[start - first : stop - first]

    def _fetch(self, run: range) -> dict[int, bytes]:
        """Ask for pages, again where that may help."""
        refusal = self._missing or self._breaker.refusal or self._gate.breaker.refusal
        if refusal is not None:
            raise refusal
        start, stop = run.start * PAGE_BYTES, run.stop * PAGE_BYTES
        length = None if self._version is None else self._version.length
        try:
            answer = self._tried(start, stop if length is None else min(stop, length))
        except Trouble as trouble:
            if trouble.is_transient:
                self._breaker.gave_up(trouble)
                self._gate.breaker.gave_up(trouble)
            if trouble.is_missing and self._version is None:
                self._missing = trouble
            raise
        self._breaker.is_well()
        self._gate.breaker.is_well()
        self._settle(answer.version)
        return {} if answer.body is None else self._files.pages.put(self.href, run.start, answer.body)

    def _tried(self, start: int, stop: int) -> Answer:
        for attempt in self._files.asker.patience.tries():
            with attempt:
                return self._asked(start, stop)
        raise AssertionError  # the last try raises

    def _asked(self, start: int, stop: int) -> Answer:
        """One request, and another one where it was refused for its signature."""
        if self._signer is None:
            return self._passed(self.href, start, stop)
        signed = self._signer.sign(self.href)
        try:
            return self._passed(signed, start, stop)
        except Trouble as trouble:
            if trouble.status not in _REFUSED_SIGNATURE:
                raise
        return self._passed(self._signer.sign(self.href, refused=signed), start, stop)

    def _passed(self, href: str, start: int, stop: int) -> Answer:
        most = self._files.connections
        with self._gate.passing(most):
            try:
                answer = self._files.asker.ask(href, start, stop, self._room)
            except Trouble as trouble:
                if trouble.says_busy:
                    self._gate.is_busy(most)
                raise
        self._gate.is_well(most)
        return answer

    def _room(self, length: int | None) -> BinaryIO:
        self._whole = None
        self._whole = self._files.scratch(self.href, length)
        return self._whole

    def _settle(self, version: Version) -> None:
        """Take the first version as the job's; refuse others."""
        known = self._version or self._files.planned(self.href)
        if known is None or (self._version is None and not known.contradicts(version)):
            self._version = version
        elif known.contradicts(version):
            raise AssetChangedError(
                f"{unsigned(self.href)}, which changed while the job was reading it",
                f"the version that the job began with: {known.fact} (now: {version.fact})",
                "run the same command again: tiles of the new version are computed, the others are kept",
            )


class RemoteFiles:
    """The remote files of a job, with its connections, signatures and cache.

    Args:
        cache_bytes: Bound of what is kept of what was fetched.
        connections: Requests at the same time to one host.
        sign: Rules for signatures, see ``geoseg.remote.signing.signers_of``.
        patience: Bounds of a request.
        facts: File to its version at planning, where another process planned the job, see ``fact``.
    """

    def __init__(
        self,
        cache_bytes: int = 0,
        connections: int = 8,
        sign: Sequence[str] = (),
        patience: Patience | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        patience = patience or policy.PATIENT
        keep_signatures_out_of_logs()
        self.cache_bytes = cache_bytes  # what was planned; the least one is small, and empty where nothing is remote
        self.pages = Pages(max(_LEAST_CACHE_BYTES, cache_bytes))
        self.connections = connections
        self.sign = tuple(sign)
        self._client = httpx.Client(
            follow_redirects=True,
            timeout=patience.timeout,
            verify=_certificates(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=connections),
        )
        self.asker = Asker(self._client, patience)
        self.signers: tuple[Signer, ...] = signers_of(sign, self._client, patience)
        self._files: dict[str, RemoteFile] = {}
        self._lock = threading.Lock()
        self._scratch_bytes = 0
        self._facts = facts or {}

    def planned(self, href: str) -> Version | None:
        """The version that a job was planned with, where it is known."""
        fact = self._facts.get(href)
        return None if fact is None else Version.of_fact(fact)

    def keep(self, cache_bytes: int) -> None:
        """Set the bound of what is kept, once it is planned."""
        self.cache_bytes = cache_bytes
        self.pages.bound(max(_LEAST_CACHE_BYTES, cache_bytes))

    def file(self, href: str) -> RemoteFile:
        """The file at an address; the same one whenever it is asked for."""
        with self._lock:
            return self._files.setdefault(href, RemoteFile(href, self))

    def fact(self, href: str) -> str:
        """Which version of a file a server has, in one line; ``missing``, or ``unknown`` and why."""
        try:
            return self.file(href).version.fact
        except Trouble as trouble:
            return "missing" if trouble.is_missing else f"unknown: {trouble.status or trouble.kind}"

    def scratch(self, href: str, length: int | None) -> BinaryIO:
        """A file for the whole content of one that is not to be had in ranges.

        Raises:
            Trouble: If it is too large, or of unknown size.
        """
        with self._lock:
            room = min(_MOST_WHOLE_BYTES, _MOST_SCRATCH_BYTES - self._scratch_bytes)
            if length is None or length > room:
                size = "a file of unknown size" if length is None else f"{length / 1e6:.0f} MB"
                raise Trouble(href, f"the server does not send ranges, only the whole: {size}", "no-ranges")
            self._scratch_bytes += length
        return tempfile.TemporaryFile(prefix="geoseg-")

    def close(self) -> None:
        """Close the connections. What was fetched whole goes with the object."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
