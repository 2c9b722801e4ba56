"""A worker of the service that sleeps through its lease, as a laptop that is shut does: another takes its job, and it takes note."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from geoseg_api.store import JobStore
from tests.faults.hunting import Quarry, Service, digests, until


def begin(service: Service, kept: Path) -> int:
    """A worker that is ready, with what it says in a file of its own; its process."""
    process = service.start("worker", "--data", str(service.data))
    until(lambda: service.said.exists() and "worker ready" in service.said.read_text())
    service.said.rename(kept)
    assert process.pid is not None
    return process.pid


def send(session: int, number: int) -> None:
    """A signal to a worker and to what computes for it."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                process.send_signal(number)
        except (psutil.Error, OSError):
            continue


def is_final(jobs: JobStore, job: str) -> bool:
    found = jobs.get(job)
    return found is not None and found.status in {"successful", "failed", "dismissed"}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.fault(60)
@pytest.mark.fault(64)
@pytest.mark.parametrize("ending", ["successful", "dismissed"])
def test_fault_60_a_worker_that_wakes_too_late_commits_nothing(world, tmp_path, ending):
    calm = Quarry(world, tmp_path / "calm")
    process = calm.start(
        *("run", "--scenes", str(world / "scene.tif"), "--model", str(world / "model"), "--quiet", "--device", "cpu"),
        *("--out", str(calm.folder / "map")),
    )
    service = Service(world, tmp_path / "service")
    jobs = service.open()
    try:
        first = begin(service, tmp_path / "first")
        job = service.add(jobs)
        until(lambda: len(service.records) >= 3)
        send(first, signal.SIGSTOP)
        if ending == "dismissed":
            jobs.dismiss(job, 3600)
        begin(service, tmp_path / "second")
        until(lambda: is_final(jobs, job))
        process.join()
        right = digests(calm.folder / "map")
        assert "job ends" not in (tmp_path / "first").read_text()
        finished = service.records
        send(first, signal.SIGCONT)
        until(lambda: '"status": "lost"' in (tmp_path / "first").read_text() or ending == "dismissed")
        found = jobs.get(job)
        assert found is not None
        assert found.status == ending
        if ending == "successful":
            assert found.attempt == 2
            assert any("again" in event["message"] for event in jobs.events(job))
            assert [digests(folder) for folder in service.finals] == [right]
            assert finished == service.records, "no tile was written again"
        following = [service.add(jobs), service.add(jobs)]  # each of them goes on with its work
        until(lambda: all(is_final(jobs, one) for one in following))
        assert [found.status for found in map(jobs.get, following) if found] == ["successful"] * 2
        assert all(digests(folder) == right for folder in service.finals)
        assert len(service.finals) == 2 + (ending == "successful")
    finally:
        for one in service.processes():
            one.kill()
    assert service.wait_for_none() == []
