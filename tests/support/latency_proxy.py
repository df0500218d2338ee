"""A TCP proxy that is as far away, and as narrow, as a test says: what loopback is not.

It knows nothing of HTTP, so it can stand before anything, TLS included::

    with LatencyProxy(server.url, one_way_seconds=0.02, bytes_per_second=10_000_000) as far:
        fetch(far.url)

The latency is each way's own: a request and its answer take twice that, a TCP connection twice that before (here the
proxy accepts at once, so the first bytes of a connection wait instead). The width is each connection's own, each way:
as with a store that gives a stream so much and the next stream as much again.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_PIECE_BYTES = 256 * 1024
_IN_FLIGHT_PIECES = 64
"""Of one direction: as a window that fits the longest way. A narrow way holds its sender back through it."""

_LATE_SECONDS = 0.05
"""What a busy machine wakes this process too late is made up for, or ways would be narrower than was asked for."""


class LatencyProxy:
    """A context manager: it listens on a free port from the first line of the block to the last.

    ``bytes_per_second`` 0 is no limit. Both may be changed at any time, and hold from the next piece on. ``host`` is an
    address of this machine; others than loopback are for network namespaces of a test.
    """

    def __init__(
        self, target: str, one_way_seconds: float = 0.0, bytes_per_second: float = 0, host: str = "127.0.0.1"
    ) -> None:
        self.one_way_seconds = one_way_seconds
        self.bytes_per_second = bytes_per_second
        self.connections = 0
        self._target = urlsplit(target)
        self._listening = socket.create_server((host, 0))
        self.url = urlunsplit((self._target.scheme, f"{host}:{self._listening.getsockname()[1]}", "", "", ""))
        self._open: set[socket.socket] = set()
        self._changing = Lock()
        self._ended = Event()
        self._threads: list[Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changing:
            self._ended.set()
            for one in (self._listening, *self._open):
                _hang_up(one)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _start(self, work: object, *given: object) -> Thread:
        assert callable(work)
        thread = Thread(target=work, args=given, name="latency-proxy")
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):  # that is how it learns that it has ended
                here, _ = self._listening.accept()
                self.connections += 1
                self._start(self._carry, here)

    def _carry(self, here: socket.socket) -> None:
        with here, suppress(OSError):  # one of the two sides has gone, or was never there
            there = socket.create_connection((self._target.hostname or "", self._target.port or 80))
            with there:
                with self._changing:
                    if self._ended.is_set():
                        return
                    self._open |= {here, there}
                back = self._start(self._way, there, here)
                self._way(here, there)
                back.join()
                with self._changing:
                    self._open -= {here, there}

    def _way(self, source: socket.socket, sink: socket.socket) -> None:
        """One direction: what is read is due ``one_way_seconds`` later, and no faster than the width allows."""
        under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        room = Semaphore(_IN_FLIGHT_PIECES)

        def take() -> None:
            free_at, piece = 0.0, b"-"
            while piece:
                room.acquire()
                try:
                    piece = source.recv(_PIECE_BYTES)
                except OSError:
                    piece = b""
                free_at = max(free_at, time.monotonic() - _LATE_SECONDS)
                if self.bytes_per_second:
                    free_at += len(piece) / self.bytes_per_second
                    self._sleep_until(free_at)
                under_way.put((time.monotonic() + self.one_way_seconds, piece))

        taking = self._start(take)
        while True:
            due, piece = under_way.get()
            self._sleep_until(due)
            if not piece:
                break
            try:
                sink.sendall(piece)
            except OSError:  # the other side does not listen any more: nor do we, to this one
                _hang_up(source)
            room.release()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        taking.join()

    def _sleep_until(self, moment: float) -> None:
        left = moment - time.monotonic()
        if left > 0:
            self._ended.wait(left)


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
