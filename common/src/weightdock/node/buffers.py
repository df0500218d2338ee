"""Memory between the network and the disk, used again and again: new pages are dear (node/direct.py)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from weightdock.node.direct import BLOCK_BYTES
from weightdock.store import Target


class _Enough(Exception):  # noqa: N818  # no error: the rest is asked for in another manner, or not at all
    """Nobody wants more of an answer."""


class Buffer:
    """What has come of a range so far, in its order. A :class:`weightdock.store.Target`, as the others here."""

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.count = 0

    @property
    def content(self) -> memoryview:
        """A view of it: what comes later is not in it."""
        return self.memory[: self.count]

    @property
    def is_full(self) -> bool:
        """Whether there is no room any more."""
        return self.count == len(self.memory)

    def room(self) -> memoryview:
        """See :class:`weightdock.store.Target`."""
        return self.memory[self.count :]

    def came(self, count: int) -> None:
        """See :class:`weightdock.store.Target`."""
        self.count += count


class Filling:
    """A target that fills one buffer after another: ``empty`` gives each, and ``full`` takes it, the last one too."""

    def __init__(self, empty: Callable[[], Buffer], full: Callable[[Buffer], None], enough: Callable[[], bool]) -> None:
        self._empty = empty
        self._full = full
        self._enough = enough
        self._filled: Buffer | None = None

    def receive(self, read: Callable[[], None]) -> None:
        """Let ``read`` put its bytes here, until there are no more or it is enough."""
        try:
            with suppress(_Enough):
                read()
        finally:
            self._give()

    def room(self) -> memoryview:
        """See :class:`weightdock.store.Target`."""
        if self._filled is None:
            self._filled = self._empty()
        return self._filled.room()

    def came(self, count: int) -> None:
        """See :class:`weightdock.store.Target`."""
        assert self._filled, "nobody has asked for room"
        self._filled.came(count)
        if self._filled.is_full:
            self._give()
        if self._enough():
            if self._filled:
                self._filled.count -= self._filled.count % BLOCK_BYTES
            raise _Enough

    def _give(self) -> None:
        filled, self._filled = self._filled, None
        if filled:
            self._full(filled)


class Pipe:
    """Buffers between two threads: one fills them, the other takes what is full, and gives them back empty."""

    def __init__(self, enough: Callable[[], bool]) -> None:
        self.full: SimpleQueue[Buffer | None] = SimpleQueue()
        self.empty: SimpleQueue[Buffer] = SimpleQueue()
        self.filling = Filling(self._next, self.full.put, lambda: self._ended or enough())
        self._ended = False

    def receive(self, read: Callable[[], None]) -> None:
        """Let ``read`` fill them. None in ``full`` is the end."""
        try:
            self.filling.receive(read)
        finally:
            self.full.put(None)

    def end(self) -> None:
        """Nobody takes any more: whoever waits for an empty buffer is to end, too."""
        self._ended = True
        self.empty.put(Buffer(memoryview(bytearray())))

    def _next(self) -> Buffer:
        buffer = self.empty.get()
        if self._ended:
            raise _Enough
        return buffer


class Timed:
    """``target``, of which somebody hears what came: how many bytes, and how many seconds the network took for them."""

    def __init__(self, target: Target, heard: Callable[[int, float], None]) -> None:
        self._target = target
        self._heard = heard
        self._asked = 0.0

    def room(self) -> memoryview:
        """See :class:`weightdock.store.Target`."""
        room = self._target.room()
        self._asked = time.monotonic()
        return room

    def came(self, count: int) -> None:
        """See :class:`weightdock.store.Target`."""
        self._heard(count, time.monotonic() - self._asked)
        self._target.came(count)
