"""Digests that are remembered: never of what a file was before."""

from __future__ import annotations

import hashlib
import os

from geoseg.models import digests


def test_a_file_that_changed_is_read_again_though_its_size_and_time_say_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_LARGE_BYTES", 1)
    monkeypatch.setattr(digests, "_AT_REST_NS", -(10**18))  # at rest as soon as it is written
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    times = path.stat().st_mtime_ns
    assert digests.digest_of_file(path) == hashlib.sha256(b"one").hexdigest()
    before = digests._remembered.cache_info().hits
    assert digests.digest_of_file(path) == hashlib.sha256(b"one").hexdigest()
    assert digests._remembered.cache_info().hits == before + 1
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(times, times))
    other.replace(path)
    assert digests.digest_of_file(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "_LARGE_BYTES", 1)
    path = tmp_path / "weights"
    for text in (b"one", b"two"):
        path.write_bytes(text)
        assert digests.digest_of_file(path) == hashlib.sha256(text).hexdigest()
