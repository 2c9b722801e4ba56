"""The lock on a folder where the file system knows none: a file that only one process can make."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys

import pytest

from geoseg.errors import OutputOccupiedError, RequestError
from geoseg.job import open_job
from geoseg.spec import JobSpec

ONE = JobSpec(model="m", scenes=("a.tif",))
HELD = "job/lock.held"


@pytest.fixture(autouse=True, params=[errno.ENOLCK, errno.EOPNOTSUPP])
def without_locks(request, monkeypatch):
    """A file system that refuses flock."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def job(out):
    return open_job(out, ONE, fresh=False, update=False)


def ended_process() -> int:
    """The number of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.fault(65)
def test_one_run_at_a_time_and_nothing_is_left(tmp_path):
    with job(tmp_path).taken([]):
        assert (tmp_path / HELD).read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(OutputOccupiedError) as refused, job(tmp_path).taken([]):
            pass
        assert f"process {os.getpid()} on {socket.gethostname()}" in refused.value.given
        assert str(tmp_path / HELD) in refused.value.todo
    assert not (tmp_path / HELD).exists()
    with job(tmp_path).taken([]):
        pass


@pytest.mark.fault(65)
def test_a_killed_run_of_this_machine_is_taken_over(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / HELD).write_text(f"process {ended_process()} on {socket.gethostname()}")
    with job(tmp_path).taken([]):
        assert f"process {os.getpid()} " in (tmp_path / HELD).read_text()
    assert not [path.name for path in (tmp_path / "job").iterdir() if "held" in path.name]


@pytest.mark.parametrize("owner", ["process 1 on another-machine", "", "nonsense"])
def test_a_run_elsewhere_is_a_persons_to_judge(tmp_path, owner):
    (tmp_path / "job").mkdir()
    (tmp_path / HELD).write_text(owner)
    with pytest.raises(OutputOccupiedError) as refused, job(tmp_path).taken([]):
        pass
    assert (owner or "another process") in refused.value.given
    assert f"remove {tmp_path / HELD}" in refused.value.todo
    assert (tmp_path / HELD).read_text() == owner


def test_a_run_that_fails_lets_go(tmp_path):
    with pytest.raises(RuntimeError), job(tmp_path).taken([]):
        raise RuntimeError
    assert not (tmp_path / HELD).exists()


def test_other_troubles_of_the_lock_are_refused_in_words(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RequestError) as refused, job(tmp_path).taken([]):
        pass
    assert "Input/output error" in refused.value.given
