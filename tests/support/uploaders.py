"""Starts uploaders, each a process of its own, and ends every one of them; see :mod:`support.uploader`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from support.uploader import Job

_TESTS = Path(__file__).parents[1]


class Uploader:
    """One of them. Its pid is its own until it was waited for."""

    def __init__(self, parent: Uploaders, pid: int, job: Job) -> None:
        self.job = job
        self.pid = pid
        self._parent = parent

    def kill(self) -> None:
        """SIGKILL, and return when it is dead."""
        handle = os.pidfd_open(self.pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], 30)[0]:
                raise TimeoutError(f"{self.pid} does not die")
        finally:
            os.close(handle)

    def wait(self) -> int:
        """Its exit code; negative is the signal that ended it."""
        return self._parent.wait(self)

    def output(self) -> str:
        """Everything that it printed, on both streams."""
        return Path(self.job.output).read_text(encoding="utf-8")

    def outcomes(self) -> dict[str, str]:
        """How each model ended, by name, of one that ended itself."""
        report = json.loads(self.output().splitlines()[-1])
        return {row["model"].partition("/")[2]: row["outcome"] for row in report["results"]}


class Uploaders:
    """A context manager; nothing that it started outlives it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[int, Uploader] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "support.uploader"]
        self._process = subprocess.Popen(command, cwd=_TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for uploader in list(self._running.values()):
            uploader.kill()
        if self._process:
            self._process.communicate()

    def start(self, job: Job) -> Uploader:
        """A new one, which begins at once."""
        with self._lock:
            uploader = Uploader(self, self._ask(start=asdict(job)), job)
            self._running[uploader.pid] = uploader
        return uploader

    def run(self, job: Job) -> tuple[int, Uploader]:
        """A new one, and how it ended."""
        uploader = self.start(job)
        return uploader.wait(), uploader

    def wait(self, uploader: Uploader) -> int:
        """See :meth:`Uploader.wait`."""
        with self._lock:
            status = self._ask(wait=uploader.pid)
            del self._running[uploader.pid]
        return status

    def _ask(self, **request: Any) -> int:
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())
