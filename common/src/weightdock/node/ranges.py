"""Objects read in ranges, several at a time, and given back in order: one cap for all files of a run.

The ranges of one file are asked for in their order, each into a buffer that is there from the start, and come back in
that order, to be hashed and written: so a file on disk is always a beginning of the object, which a later run can go
on from, and memory is bounded by the number of buffers, whatever the sizes of files.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Self

from weightdock.artifact import ObjectKey
from weightdock.store import ObjectStore, StoredObject

RANGE_BYTES = 16 * 1024 * 1024
"""Of one request: at 30 MB/s and 20 ms each way, waiting is a fifteenth of its time."""

CONNECTIONS = 11
"""At most so many requests are under way, and so many buffers full or filling: 176 MiB."""

_AT_FIRST = 4
_SLOW_SECONDS = 0.2
"""A range that takes longer (less than 80 MB/s) shows that the way is narrow for one connection, and gets company.

On a fast one, more threads would only wait for each other.
"""


class Ranges:
    """Threads and buffers of a run; a context manager."""

    def __init__(self, store: ObjectStore, range_bytes: int = RANGE_BYTES, connections: int = CONNECTIONS) -> None:
        self._store = store
        self._range_bytes = range_bytes
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="range")
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._more = connections
        self._changing = Lock()
        for _ in range(min(_AT_FIRST, connections)):
            self._add_buffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def head(self, key: ObjectKey) -> StoredObject | None:
        """See :meth:`weightdock.store.ObjectStore.head`. Under the same cap."""
        return self._pool.submit(self._store.head, key).result()

    def read(self, found: StoredObject, start: int) -> Generator[memoryview, None, None]:
        """The object's bytes from ``start`` on, in order. Each piece is good until the next one is asked for.

        Raises as :meth:`weightdock.store.ObjectStore.read_range` does.
        """
        under_way: deque[Future[memoryview]] = deque()
        buffers: deque[memoryview] = deque()

        def give_back() -> None:
            under_way.popleft()
            self._free.put(buffers.popleft())

        try:
            for at in range(start, found.size_bytes, self._range_bytes):
                while (buffer := self._buffer(waiting=not under_way)) is None:
                    yield under_way[0].result()
                    give_back()
                piece = buffer[: min(self._range_bytes, found.size_bytes - at)]
                buffers.append(buffer)
                under_way.append(self._pool.submit(self._fill, found, at, piece))
                # Whatever has arrived meanwhile is hashed while the others are on their way.
                while under_way and under_way[0].done():
                    yield under_way[0].result()
                    give_back()
            while under_way:
                yield under_way[0].result()
                give_back()
        finally:
            for future in under_way:
                future.cancel()
            while under_way:  # a buffer is free when nobody writes into it any more
                if not under_way[0].cancelled():
                    under_way[0].exception()
                give_back()

    def _buffer(self, *, waiting: bool) -> memoryview | None:
        """A free buffer. Who holds some does not wait for more, or two files would wait for each other."""
        try:
            return self._free.get(waiting)
        except Empty:
            return None

    def _fill(self, found: StoredObject, start: int, piece: memoryview) -> memoryview:
        began = time.monotonic()
        self._store.read_range(found, start, piece)
        if time.monotonic() - began > _SLOW_SECONDS:
            self._add_buffer()
        return piece

    def _add_buffer(self) -> None:
        with self._changing:
            if self._more:
                self._more -= 1
                self._free.put(memoryview(bytearray(self._range_bytes)))
