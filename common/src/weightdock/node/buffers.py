"""Memory between the network and the disk, used again and again: new pages are dear (node/direct.py)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from weightdock.node.direct import BLOCK_BYTES


class _Enough(Exception):  # noqa: N818  # no error: the rest is asked for in another manner, or not at all
    """Nobody wants more of an answer."""


class Buffer:
    """What has come of a range so far, in its order."""

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.count = 0

    @property
    def content(self) -> memoryview:
        """A view of it: what is added later is not in it."""
        return self.memory[: self.count]

    def add(self, piece: bytes) -> bytes:
        """Take what fits, and give the rest back."""
        start, self.count = self.count, min(self.count + len(piece), len(self.memory))
        fits = self.count - start
        self.memory[start : self.count] = piece[:fits]
        return piece[fits:]


class Pipe:
    """Buffers between two threads: one fills them, the other takes what is full, and gives them back empty."""

    def __init__(self, enough: Callable[[], bool]) -> None:
        self.full: SimpleQueue[Buffer | None] = SimpleQueue()
        self.empty: SimpleQueue[Buffer] = SimpleQueue()
        self._enough = enough
        self._ended = False

    def receive(self, read: Callable[[Callable[[bytes], None]], None]) -> None:
        """Let ``read`` give its pieces, until there are no more or it is enough. None in ``full`` is the end."""
        buffer = self.empty.get()

        def heard(piece: bytes) -> None:
            nonlocal buffer
            while piece := buffer.add(piece):
                self.full.put(buffer)
                buffer = self.empty.get()
                if self._ended:
                    raise _Enough
            if self._ended or self._enough():
                buffer.count -= buffer.count % BLOCK_BYTES
                raise _Enough

        try:
            with suppress(_Enough):
                read(heard)
        finally:
            if buffer.count:
                self.full.put(buffer)
            self.full.put(None)

    def end(self) -> None:
        """Nobody takes any more: whoever waits for an empty buffer is to end, too."""
        self._ended = True
        self.empty.put(Buffer(memoryview(bytearray())))
