"""Objects read as fast as the way allows, and given on in order: one cap for all files of a run.

On a wide way a file is a few long requests, one after another, read into one buffer while another is hashed and
written. Where one connection is narrow (far away, or metered), more ranges are asked for ahead, kept until it is their
turn, and given on in order. So a file on disk is always a beginning of the object, which a later run can go on from,
and memory is bounded by the number of buffers, whatever the sizes of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from mmap import mmap
from queue import Empty
from threading import Lock, Semaphore
from types import TracebackType
from typing import Any, Self

from weightdock.node.buffers import Buffer, Pipe
from weightdock.store import ObjectStore, Version


@dataclass(frozen=True)
class Limits:
    """How much may be asked for at a time, and what makes a way narrow.

    It is one when the files that are being read get less than ``wide`` bytes a second together, for ``window``
    seconds, and a file's thread spends more than ``waiting`` of them on the network: where they get more, more requests
    would only wait for each other, and a slow disk is no faster for more of them. On a wide way a request is for
    ``request`` bytes: few spare the bucket, and longer ones can be dear to it (rclone, as a server, takes twice the
    processor time for a file of 100 MB in one). On a narrow way ``ahead`` ranges of ``piece`` bytes are under way or
    kept at most (160 MiB): at 30 MB/s and 20 ms each way, waiting is an eighth of a range's time.
    """

    wide: float = 250e6
    window: float = 0.5
    waiting: float = 0.5
    request: int = 32 * 1024 * 1024
    piece: int = 8 * 1024 * 1024
    ahead: int = 20


LIMITS = Limits()

_BUFFERS = 3  # of a file on a wide way, if there is room: one is filled, one is hashed and written, one lies between

Take = Callable[[memoryview], None]
"""Hears the pieces of a file, in order; they are its until it returns.

Each begins in a block of memory and has whole blocks (node/direct.py), but for a file's last one.
"""


class Watch:
    """Whether one file's way is narrow; see :class:`Limits`. ``came`` counts the bytes of all files."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began: float | None = None  # connecting does not count
        self._before = 0
        self._waited = 0.0

    def is_narrow(self, now: float, waited: float, came: int) -> bool:
        """Hear that the file's thread has waited for the network once more, until ``now``; all three in all."""
        if self._began is None:
            self._began, self._before = now, came
            return False
        self._waited += waited
        passed = now - self._began
        if passed < self._limits.window:
            return False
        slow = came - self._before < self._limits.wide * passed
        narrow = slow and self._waited >= self._limits.waiting * passed
        self._began, self._before, self._waited = now, came, 0.0
        return narrow


class Ranges:
    """Threads and memory of a run; a context manager."""

    def __init__(self, store: ObjectStore, limits: Limits = LIMITS) -> None:
        self.store = store
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.ahead, thread_name_prefix="range")
        self._room = Semaphore(limits.ahead)
        self._unused: list[memoryview] = []
        self._came = 0
        self._narrow = False
        self._stopped = False
        self._changing = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def stop(self) -> None:
        """Let every reading end soon, with a KeyboardInterrupt in its thread: what came stays a half."""
        self._stopped = True

    def read(self, version: Version, start: int, take: Take) -> None:
        """Give ``take`` the object's bytes from ``start`` on, in order; ``start`` is a multiple of a block.

        Raises as :meth:`weightdock.store.ObjectStore.read_range` does, and what ``take`` raises.
        """
        # The first answer names the version, which all others are to have.
        while start < version.size_bytes and (version.etag is None or not self._narrow):
            left = version.size_bytes - start
            if self._narrow or left <= self._limits.piece:
                start = self._short(version, start, take)
            else:
                start = self._long(version, start, take)
        self._ahead(version, start, take)

    def _short(self, version: Version, start: int, take: Take) -> int:
        """Read one piece, in this thread. Where it ends."""
        memory = self._borrow()
        try:
            buffer = self._receive(version, start, memory)
            take(buffer.content)
        finally:
            self._give_back(memory)
        return start + buffer.count

    def _long(self, version: Version, start: int, take: Take) -> int:
        """Read by long requests, into a few buffers in turn. Where it ended: early where the way is narrow."""
        at, watch = start, Watch(self._limits)
        pipe = Pipe(enough=lambda: self._narrow)
        held = [self._borrow()]
        while len(held) < _BUFFERS and self._room.acquire(blocking=False):
            held.append(self._memory())
        for memory in held:
            pipe.empty.put(Buffer(memory))
        receiving = self._pool.submit(pipe.receive, lambda heard: self._requests(version, start, heard))
        try:
            while buffer := self._next(pipe, version, watch):
                take(buffer.content)
                at += buffer.count
                buffer.count = 0
                pipe.empty.put(buffer)
        finally:
            pipe.end()
            self._give_back_after(receiving, *held)
        receiving.result()
        return at

    def _requests(self, version: Version, start: int, heard: Callable[[bytes], None]) -> None:
        def counted(piece: bytes) -> None:
            self._count(piece)
            heard(piece)

        for begin in range(start, version.size_bytes, self._limits.request):
            self.store.read_range(version, begin, min(self._limits.request, version.size_bytes - begin), counted)

    def _next(self, pipe: Pipe, version: Version, watch: Watch) -> Buffer | None:
        """What is full next. Looks now and then whether the way is narrow."""
        while True:
            asked = time.monotonic()
            try:
                return pipe.full.get(timeout=self._limits.window)
            except Empty:
                pass
            finally:
                now = time.monotonic()
                if version.etag and watch.is_narrow(now, now - asked, self._came):
                    self._narrow = True

    def _ahead(self, version: Version, start: int, take: Take) -> None:
        under_way: deque[tuple[Future[Buffer], memoryview]] = deque()

        def give() -> None:
            future, memory = under_way[0]
            take(future.result().content)
            under_way.popleft()
            self._give_back(memory)

        try:
            for at in range(start, version.size_bytes, self._limits.piece):
                # Who holds some room does not wait for more, or two files would wait for each other.
                while not self._room.acquire(blocking=not under_way):
                    give()
                memory = self._memory()
                under_way.append((self._pool.submit(self._receive, version, at, memory), memory))
                # Whatever has arrived meanwhile is hashed while the others are on their way.
                while under_way and under_way[0][0].done():
                    give()
            while under_way:
                give()
        finally:
            for future, memory in under_way:
                future.cancel()
                self._give_back_after(future, memory)

    def _receive(self, version: Version, start: int, memory: memoryview) -> Buffer:
        """One range that fits into a buffer."""
        buffer = Buffer(memory)

        def heard(piece: bytes) -> None:
            self._count(piece)
            buffer.add(piece)

        self.store.read_range(version, start, min(len(memory), version.size_bytes - start), heard)
        return buffer

    def _borrow(self) -> memoryview:
        """Memory of the size of a piece, when there is room."""
        self._room.acquire()
        return self._memory()

    def _memory(self) -> memoryview:
        """The same, for who has acquired the room."""
        try:
            return self._unused.pop()
        except IndexError:
            return memoryview(mmap(-1, self._limits.piece))

    def _give_back_after(self, received: Future[Any], *memories: memoryview) -> None:
        """At once, if that has ended: for a file that failed, something may still come, and is written there."""
        received.add_done_callback(lambda _: self._give_back(*memories))

    def _give_back(self, *memories: memoryview) -> None:
        for memory in memories:
            self._unused.append(memory)
            self._room.release()

    def _count(self, piece: bytes) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        with self._changing:
            self._came += len(piece)
