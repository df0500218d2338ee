"""Progress as values: stages say what they do, observers show it.

Between containers and the driver events travel as NDJSON, one object a line, marked ``{"weightdock": 1}`` so that a
reader can tell them from whatever else a library prints.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from threading import Lock
from typing import NamedTuple, TextIO

from weightdock.artifact import ModelId
from weightdock.errors import printable

SCHEMA = 1
"""Version of the event and report lines; raised when a reader would have to change."""

HEARTBEAT_SECONDS = 10.0
"""Longest silence of a run that is not watched on a terminal."""

BytesObserver = Callable[[int], None]
"""Hears how many bytes have gone through so far."""


class Stage(StrEnum):
    """Where in its journey a model is."""

    ACQUIRE = "acquire"
    VERIFY = "verify"
    UPLOAD = "upload"
    FETCH = "fetch"


class State(StrEnum):
    """What happened there."""

    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class Event(NamedTuple):
    """One thing that happened to one model. Sizes in bytes; ``total_bytes`` is None while nobody knows it."""

    model: ModelId
    stage: Stage
    state: State
    done_bytes: int = 0
    total_bytes: int | None = None
    note: str = ""

    def to_json(self) -> str:
        """One NDJSON line, without the newline."""
        return json.dumps(
            {
                "weightdock": SCHEMA,
                "event": self.state,
                "model": str(self.model),
                "stage": self.stage,
                "done_bytes": self.done_bytes,
                "total_bytes": self.total_bytes,
                "note": self.note,
            }
        )


Observer = Callable[[Event], None]


def from_json(line: dict[str, object]) -> Event:
    """The event of a parsed line. Raises KeyError, TypeError or ValueError when it is none."""
    total = line["total_bytes"]
    return Event(
        model=ModelId.parse(str(line["model"])),
        stage=Stage(str(line["stage"])),
        state=State(str(line["event"])),
        done_bytes=int(str(line["done_bytes"])),
        total_bytes=None if total is None else int(str(total)),
        note=str(line["note"]),
    )


def ignore(_event: Event) -> None:
    """The observer of a caller who does not want to know."""


class Ndjson:
    """Events on stdout, for a driver to read."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Write a line. Under a lock, because the stages of several models speak from threads of their own."""
        try:
            with self._lock:
                print(event.to_json(), flush=True)
        except BrokenPipeError as error:  # whoever read them is gone: an order to stop, and not an error of a disk
            raise KeyboardInterrupt from error


class Lines:
    """Plain lines on stderr: every change of state, and progress at most every HEARTBEAT_SECONDS."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = clock()
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        with self._lock:
            now = self._clock()
            if event.state is not State.PROGRESS or now - self._last >= HEARTBEAT_SECONDS:
                self._last = now
                stream = self._stream or sys.stderr
                if stream is not None:  # where it is closed, print would write to stdout
                    with suppress(OSError):
                        print(sentence(event), file=stream, flush=True)


def sentence(event: Event) -> str:
    """The event as a line for people."""
    amount = ""
    if event.done_bytes or event.total_bytes:
        amount = f" {megabytes(event.done_bytes)}"
        if event.total_bytes and event.done_bytes != event.total_bytes:
            amount += f" of {megabytes(event.total_bytes)}"
    note = f": {event.note}" if event.note else ""
    return printable(f"{event.model}  {event.stage} {event.state}{amount}{note}")


def megabytes(size: int) -> str:
    """A size in bytes as decimal megabytes, as the catalogues of models give it."""
    return f"{size / 1e6:.1f} MB"
