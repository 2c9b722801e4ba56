"""Numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STATUSES = ("accepted", "running", "successful", "failed", "dismissed")


class Metrics:
    """Counts requests, and shows how many jobs there are."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("geoseg_requests", "Requests.", ("method", "route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "geoseg_request_seconds",
            "Time to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._jobs = Gauge("geoseg_jobs", "Jobs in the store.", ("status",), registry=self._registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, jobs: Mapping[str, int]) -> bytes:
        """All numbers, in the format of Prometheus.

        Args:
            jobs: Number of jobs by status.
        """
        for status in _STATUSES:
            self._jobs.labels(status).set(jobs.get(status, 0))
        return generate_latest(self._registry)
