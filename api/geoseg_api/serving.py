"""``geoseg serve``: the server in this process, and its workers beside it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from geoseg.errors import RequestError
from geoseg.machine import limit_arenas
from geoseg_api.app import create_app
from geoseg_api.logs import log_as_json
from geoseg_api.problems import Problem
from geoseg_api.service import Service
from geoseg_api.settings import ServiceSettings

_LOG = logging.getLogger(__name__)
_PAUSE_S = 1.0
_GRACE_S = 15.0
_ARENAS = 2


class Workers:
    """Worker processes that end with this one, and are started again when they are lost.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watching, name="watching workers", daemon=True)

    def start(self) -> None:
        """Start them."""
        self._processes = [self._started() for _ in range(self._settings.workers)]
        self._watch.start()

    def stop(self) -> None:
        """Let them give back their jobs and end."""
        self._stopping.set()
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        end = time.monotonic() + _GRACE_S
        for process in self._processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "geoseg_api.tied"],
            stdin=subprocess.PIPE,
            env={**os.environ, **self._settings.as_environment()},
            start_new_session=True,  # Ctrl-C is for this process, which then asks
        )

    def _watching(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            for number, process in enumerate(self._processes):
                if process.poll() is not None and not self._stopping.is_set():
                    _LOG.error("a worker ended with status %s and is started again", process.returncode)
                    self._processes[number] = self._started()


def serve(settings: ServiceSettings) -> None:
    """Serve until a signal comes.

    Args:
        settings: Of the service.
    """
    log_as_json(settings.log_level)
    limit_arenas(_ARENAS)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
        root_path=settings.root_path,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies) or None,
    )
    if settings.needs_keys and not any(key.revoked is None for key in app.state.service.keys.list()):
        _LOG.warning(
            "there is no API key yet, and every request needs one: geoseg keys add NAME --data %s", settings.data
        )
    workers = Workers(settings)
    workers.start()
    app.state.service.planner.get_ready()
    threading.Thread(target=_make_demo, args=(app.state.service,), name="writing the demo", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # what uvicorn gives back to when it has ended
        signal.signal(number, lambda *_: None)
    try:
        _Server(config, app.state.service.interrupt).run()
    finally:
        workers.stop()
        app.state.service.close()


def _make_demo(service: Service) -> None:
    with suppress(Problem):  # who asks for it is told
        service.demo.make()


class _Server(uvicorn.Server):
    """Tells streams of events when the server is to end."""

    def __init__(self, config: uvicorn.Config, interrupt: Callable[[], None]) -> None:
        super().__init__(config)
        self._interrupt = interrupt

    def handle_exit(self, sig: int, frame: object) -> None:
        self._interrupt()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # a frame, or nothing

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # sockets of any kind
        try:
            await super().startup(sockets)  # type: ignore[arg-type]
        except SystemExit as err:  # it could not listen
            raise RequestError(
                f"--host {self.config.host} --port {self.config.port}: {err.__context__}",
                "an address of this machine, and a port that is free",
                "choose another port, or --port 0 for any that is free",
            ) from err
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                _LOG.info("serving on http://%s:%s", host, port)
