"""Processes that read what others made, beside the one that holds the lease or talks to clients.

A child takes one order at a time as a line of JSON and answers with lines of JSON. It ends with its parent: when its
standard input ends, and when the parent dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Literal

from geoseg_api.gate import child_environment
from geoseg_api.settings import ServiceSettings

type Message = dict[str, Any]

_STOP_S = 10.0


class Child:
    """A process for orders of one kind; started when it is first needed, and again after it was lost.

    Args:
        kind: ``compute`` or ``plan``.
        settings: Of the service.
    """

    def __init__(self, kind: Literal["compute", "plan"], settings: ServiceSettings) -> None:
        self._kind = kind
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process where there is none; it loads what it needs before it is asked."""
        if self._process is None or self._process.poll() is not None:
            self._start()

    def order(self, content: Message) -> None:
        """Send an order; starts the process where there is none."""
        self.start()
        self._say(content)

    def answer(self, timeout_s: float) -> Message | None:
        """The next message; ``None`` where none came in time.

        Raises:
            ChildProcessError: If the process is gone; says how it ended.
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if message is None:
            raise ChildProcessError(self._ended())
        return message

    def ask(self, content: Message, timeout_s: float) -> Message:
        """An order with a single answer.

        Raises:
            TimeoutError: If none came in time; the process is ended.
            ChildProcessError: If the process was lost.
        """
        self.order(content)
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            message = self.answer(left)
            if message is not None and message["type"] in {"done", "problem"}:
                return message
        self.kill()
        raise TimeoutError

    def stop(self, grace_s: float = _STOP_S) -> None:
        """Ask for an end, and end it if that takes long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._say({"type": "stop"})
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]  # it was opened as a pipe
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # what it was never told goes with it
                self._process.stdin.close()
        self._process = None

    def _start(self) -> None:
        command = [sys.executable, "-m", "geoseg_api.child", self._kind, str(os.getpid())]
        self._messages = queue.SimpleQueue()
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(self._settings),
            start_new_session=True,  # Ctrl-C is for the parent, which then asks
        )
        threading.Thread(
            target=_read, args=(self._process, self._messages), name=f"reading {self._kind}", daemon=True
        ).start()

    def _say(self, content: Message) -> None:
        assert self._process is not None  # noqa: S101  # it was started
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):  # it is gone, which the reader tells
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()

    def _ended(self) -> str:
        """How the process ended, in words."""
        assert self._process is not None  # noqa: S101
        code = self._process.wait()
        self.kill()  # closes its pipe
        if code >= 0:
            return f"the computing process ended with status {code}"
        why = ", likely for want of memory" if -code == signal.SIGKILL else ""
        return f"the computing process was ended by signal {-code}{why}"


def _read(process: subprocess.Popen[str], messages: queue.SimpleQueue[Message | None]) -> None:
    assert process.stdout is not None  # noqa: S101  # it was opened as a pipe
    with contextlib.suppress(ValueError, OSError), process.stdout as lines:
        for line in lines:
            messages.put(json.loads(line))
    messages.put(None)
