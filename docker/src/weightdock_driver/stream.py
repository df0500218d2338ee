"""From a container's bytes to values: events, the report, and whatever else it printed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator

from weightdock import events, report
from weightdock.errors import WeightdockError, printable
from weightdock.events import SCHEMA, Observer
from weightdock.report import RunReport

TAIL_LINES = 50
"""How much of what a container said is kept for when it fails."""

_LONGEST_LINE = 8 * 1024 * 1024  # bytes: a report of ten thousand models fits, a line that never ends does not
_LONGEST_KEPT = 2_000  # characters of a kept line


class Lines:
    """Cuts chunks of bytes into lines, wherever the chunks end. Holds at most the longest line."""

    def __init__(self) -> None:
        self._part = bytearray()

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The lines that this chunk ends, without their newlines."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._part += part
            yield self._take()
        self._part += rest
        if len(self._part) > _LONGEST_LINE:
            yield self._take()

    def finish(self) -> Iterator[str]:
        """The last line, where it has no newline."""
        if self._part:
            yield self._take()

    def _take(self) -> str:
        line = self._part.decode("utf-8", errors="replace")
        self._part.clear()
        return line


class Output:
    """What one container prints: tells ``observe`` of events, keeps the report and the last other lines."""

    def __init__(self, observe: Observer) -> None:
        self.report: RunReport | None = None
        self.foreign_schema: int | None = None
        self._observe = observe
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._stdout = Lines()
        self._stderr = Lines()

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines that were neither event nor report, of both streams, oldest first."""
        return tuple(self._tail)

    def feed(self, stdout: bytes | None, stderr: bytes | None) -> None:
        """Take a chunk of either stream."""
        for line in self._stdout.feed(stdout or b""):
            self._read(line)
        for line in self._stderr.feed(stderr or b""):
            self._keep(line)

    def finish(self) -> None:
        """Both streams have ended."""
        for line in self._stdout.finish():
            self._read(line)
        for line in self._stderr.finish():
            self._keep(line)

    def _read(self, line: str) -> None:
        if not self._understood(line):
            self._keep(line)

    def _understood(self, line: str) -> bool:
        if not line.startswith("{"):
            return False
        try:
            parsed = json.loads(line)
            version = parsed.get("weightdock")
            if version != SCHEMA:
                self.foreign_schema = version if isinstance(version, int) else self.foreign_schema
                return False
            if parsed["event"] == "report":
                self.report = report.from_json(parsed)
            else:
                self._observe(events.from_json(parsed))
        except (WeightdockError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False  # it only looked like one of ours: kept, and shown if the container fails
        return True

    def _keep(self, line: str) -> None:
        last = line.rstrip().rpartition("\r")[2]  # a library's progress bar rewrites one line over and over
        # A container loads foreign files: what it prints must not drive the terminal it is shown on.
        if line := printable(last):
            self._tail.append(line[:_LONGEST_KEPT])
