"""Objects read as fast as the way allows, and given on in order: one cap for all files of a run.

On a wide way a file is a few long requests, one after another. While there are fewer files than processors, one thread
receives a file and another hashes and writes it; else one does all of that. Where one connection is narrow (far away,
or metered), more ranges are asked for ahead, kept until it is their turn, and given on in order. So a file on disk is
always a beginning of the object, which a later run can go on from, and memory is bounded by the number of buffers,
whatever the sizes of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from mmap import mmap
from queue import Empty, LifoQueue
from threading import Lock
from types import TracebackType
from typing import Any, Self

from weightdock.node.buffers import Buffer, Filling, Pipe, Timed
from weightdock.node.way import LIMITS, Limits, Watch
from weightdock.store import ObjectStore, Target, Version

_BUFFERS = 3  # between two threads, if there is room: one is filled, one is hashed and written, one lies between

Take = Callable[[memoryview], None]
"""Hears the pieces of a file, in order; they are its until it returns.

Each begins in a block of memory and has whole blocks (node/direct.py), but for a file's last one.
"""


class Ranges:
    """Threads and memory of a run; a context manager."""

    def __init__(self, store: ObjectStore, limits: Limits = LIMITS) -> None:
        self.store = store
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.ahead, thread_name_prefix="range")
        self._unused = LifoQueue[memoryview]()  # the last one first: its pages are there already
        for _ in range(limits.ahead):
            self._unused.put(memoryview(mmap(-1, limits.piece)))
        self._came = 0
        self._files = 0
        self._narrow = False
        self._stopped = False
        self._changing = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    @property
    def crowded(self) -> bool:
        """Whether every processor has a file: to hand a piece to another thread costs more then than it gains."""
        return self._files >= self._limits.processors

    def stop(self) -> None:
        """Let every reading end soon, with a KeyboardInterrupt in its thread: what came stays a half."""
        self._stopped = True
        self.store.stop()

    def go_on(self) -> None:
        """Raise KeyboardInterrupt after :meth:`stop`."""
        if self._stopped:
            raise KeyboardInterrupt

    def read(self, version: Version, start: int, take: Take) -> None:
        """Give ``take`` the object's bytes from ``start`` on, in order; ``start`` is a multiple of a block.

        Raises as :meth:`weightdock.store.ObjectStore.read_range` does, and what ``take`` raises.
        """
        watch = Watch(self._limits)
        with self._counted():
            # The first answer names the version, which all others are to have.
            while start < version.size_bytes and (version.etag is None or not self._narrow):
                left = version.size_bytes - start
                if self._narrow or left <= self._limits.piece:
                    start = self._short(version, start, take)
                elif self.crowded:
                    start = self._straight(version, start, take, watch)
                else:
                    start = self._piped(version, start, take, watch)
            self._ahead(version, start, take)

    def _short(self, version: Version, start: int, take: Take) -> int:
        """Read one piece, in this thread. Where it ends."""
        memory = self._unused.get()
        try:
            buffer = self._receive(version, start, memory)
            take(buffer.content)
        finally:
            self._unused.put(memory)
        return start + buffer.count

    def _straight(self, version: Version, start: int, take: Take, watch: Watch) -> int:
        """Read one long request, in this thread. Where it ended: early where the way is narrow."""
        memory, at = self._unused.get(), start
        buffer = Buffer(memory)

        def give(filled: Buffer) -> None:
            nonlocal at
            take(filled.content)
            at += filled.count
            filled.count = 0

        filling = Filling(lambda: buffer, give, lambda: self._narrow)
        target = self._watched(filling, watch)
        try:
            filling.receive(lambda: self._request(version, start, target))
        finally:
            self._unused.put(memory)
        return at

    def _piped(self, version: Version, start: int, take: Take, watch: Watch) -> int:
        """Read by long requests, in another thread. Where it ended: early where the way is narrow."""
        at, pipe = start, Pipe(enough=lambda: self._narrow)
        target = self._watched(pipe.filling, watch)
        held = [self._unused.get()]
        receiving: Future[None] | None = None
        try:
            with suppress(Empty):
                while len(held) < _BUFFERS:
                    held.append(self._unused.get_nowait())
            for memory in held:
                pipe.empty.put(Buffer(memory))
            receiving = self._pool.submit(pipe.receive, lambda: self._requests(version, start, target))
            while buffer := pipe.full.get():
                take(buffer.content)
                at += buffer.count
                buffer.count = 0
                pipe.empty.put(buffer)
        finally:
            pipe.end()
            if receiving:
                self._give_back_after(receiving, *held)
            else:  # the system gave no thread; should another one receive it later, it finds the pipe's end
                for memory in held:
                    self._unused.put(memory)
        receiving.result()
        return at

    def _requests(self, version: Version, start: int, target: Target) -> None:
        for begin in range(start, version.size_bytes, self._limits.request):
            self._request(version, begin, target)

    def _request(self, version: Version, start: int, target: Target) -> None:
        self.store.read_range(version, start, min(self._limits.request, version.size_bytes - start), target)

    def _watched(self, target: Target, watch: Watch) -> Target:
        def heard(count: int, seconds: float) -> None:
            self._count(count, seconds)
            if watch.hears_narrow(time.monotonic(), seconds, self._came):
                self._narrow = True

        return Timed(target, heard)

    def _ahead(self, version: Version, start: int, take: Take) -> None:
        under_way: deque[tuple[Future[Buffer], memoryview]] = deque()

        def give() -> None:
            future, memory = under_way[0]
            take(future.result().content)
            under_way.popleft()
            self._unused.put(memory)

        try:
            for at in range(start, version.size_bytes, self._limits.piece):
                while (memory := self._another(bool(under_way))) is None:
                    give()
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

    def _another(self, has_some: bool) -> memoryview | None:
        """Memory. Who has some does not wait for more, or two files would wait for each other."""
        try:
            return self._unused.get(block=not has_some)
        except Empty:
            return None

    def _receive(self, version: Version, start: int, memory: memoryview) -> Buffer:
        """One range that fits into a buffer."""
        buffer = Buffer(memory)
        length = min(len(memory), version.size_bytes - start)
        self.store.read_range(version, start, length, Timed(buffer, self._count))
        return buffer

    def _give_back_after(self, received: Future[Any], *memories: memoryview) -> None:
        """At once, if that has ended: for a file that failed, something may still come, and is written there."""

        def give_back(_: object) -> None:
            for memory in memories:
                self._unused.put(memory)

        received.add_done_callback(give_back)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changing:
            self._files += 1
        try:
            yield
        finally:
            with self._changing:
                self._files -= 1

    def _count(self, count: int, _seconds: float) -> None:
        self.go_on()
        with self._changing:
            self._came += count


@contextmanager
def stopping(ranges: Ranges) -> Iterator[None]:
    """End what is under way when the run ends early, as by Ctrl-C: the pool would wait for whole files."""
    try:
        yield
    except BaseException:
        ranges.stop()
        raise
