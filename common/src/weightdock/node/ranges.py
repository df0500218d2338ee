"""Objects read as fast as the way allows, and given on in order: one cap for all files of a run.

A wide way is read by the file's own thread, piece by piece, each hashed and written while it is in the processor's
cache. Where one connection is narrow (far away, or metered), more ranges are asked for ahead, kept until it is their
turn, and given on in order. So a file on disk is always a beginning of the object, which a later run can go on from,
and memory is bounded by the number of ranges ahead, whatever the sizes of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Semaphore
from types import TracebackType
from typing import Self

from weightdock.store import ObjectStore, Version


@dataclass(frozen=True)
class Limits:
    """How much may be asked for at a time, and what makes a way narrow.

    It is one when the files that are being read get less than ``wide`` bytes a second together, for ``window``
    seconds, and a file's thread spends more than ``waiting`` of them on the network: where they get more, more requests
    would only wait for each other, and a slow disk is no faster for more of them. On a narrow way ``ahead`` ranges of
    ``piece`` bytes are under way or kept at most (160 MiB): at 30 MB/s and 20 ms each way, waiting is an eighth of a
    range's time.
    """

    wide: float = 250e6
    window: float = 0.5
    waiting: float = 0.5
    piece: int = 8 * 1024 * 1024
    ahead: int = 20


LIMITS = Limits()

Take = Callable[[bytes], None]
"""Hears the pieces of a file, in order."""


class _NarrowWay(Exception):  # noqa: N818  # no error: the rest is asked for in another manner
    """One request is not enough."""


class Ranges:
    """Threads and memory of a run; a context manager."""

    def __init__(self, store: ObjectStore, limits: Limits = LIMITS) -> None:
        self.store = store
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.ahead, thread_name_prefix="range")
        self._room = Semaphore(limits.ahead)
        self._came = 0
        self._narrow = False
        self._changing = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def read(self, version: Version, start: int, take: Take) -> None:
        """Give ``take`` the object's bytes from ``start`` on, in order.

        Raises as :meth:`weightdock.store.ObjectStore.read_range` does, and what ``take`` raises.
        """
        if start < version.size_bytes:
            start = self._alone(version, start, take)
        self._ahead(version, start, take)

    def _alone(self, version: Version, start: int, take: Take) -> int:
        """Read with one request, whose answer names the version: all while the way is wide. How far it got."""
        at, began, before, waited, ready = start, 0.0, 0, 0.0, 0.0
        was_narrow, length = self._narrow, version.size_bytes - start

        def heard(piece: bytes) -> None:
            nonlocal at, began, before, waited, ready
            waited += time.monotonic() - ready
            self._count(piece)
            take(piece)
            at += len(piece)
            ready = time.monotonic()
            passed = ready - began
            if not began:  # connecting does not count
                began, before, waited = ready, self._came, 0.0
            elif passed >= self._limits.window:
                slow = self._came - before < self._limits.wide * passed
                self._narrow |= slow and waited >= self._limits.waiting * passed
                began, before, waited = ready, self._came, 0.0
            if self._narrow and not was_narrow:
                raise _NarrowWay

        with suppress(_NarrowWay):
            self.store.read_range(version, start, min(self._limits.piece, length) if was_narrow else length, heard)
        return at

    def _count(self, piece: bytes) -> None:
        with self._changing:
            self._came += len(piece)

    def _ahead(self, version: Version, start: int, take: Take) -> None:
        under_way: deque[Future[list[bytes]]] = deque()

        def give() -> None:
            for piece in under_way[0].result():
                take(piece)
            under_way.popleft()
            self._room.release()

        try:
            for at in range(start, version.size_bytes, self._limits.piece):
                # Who holds some room does not wait for more, or two files would wait for each other.
                while not self._room.acquire(blocking=not under_way):
                    give()
                under_way.append(self._pool.submit(self._fetch, version, at))
                # Whatever has arrived meanwhile is hashed while the others are on their way.
                while under_way and under_way[0].done():
                    give()
            while under_way:
                give()
        finally:
            for future in under_way:
                future.cancel()
                self._room.release()

    def _fetch(self, version: Version, start: int) -> list[bytes]:
        pieces: list[bytes] = []

        def heard(piece: bytes) -> None:
            self._count(piece)
            pieces.append(piece)

        self.store.read_range(version, start, min(self._limits.piece, version.size_bytes - start), heard)
        return pieces
