"""A store that gives a little at a time, and what is read from it: for what a node's ranges do (node/ranges.py)."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from support.memory_store import MemoryStore, put
from weightdock.artifact import ObjectKey
from weightdock.node.direct import BLOCK_BYTES
from weightdock.node.ranges import Ranges
from weightdock.node.way import Limits
from weightdock.store import Target, Version

KEY = ObjectKey("models/pretrained/toy/alpha.bin")
PIECE = 4 * BLOCK_BYTES
CONTENT = random.Random("ranges").randbytes(6 * PIECE + 100)
SENT = 1000
"""Bytes that come at a time: blocks do not begin where they do."""

SEEN = PIECE + 10 * SENT
"""Of the first answer, before it halts."""

WIDE = Limits(wide=0, request=2 * PIECE, piece=PIECE, ahead=2, processors=2)
NARROW = Limits(wide=math.inf, window=0.01, waiting=0, request=4 * PIECE, piece=PIECE, ahead=2, processors=2)
by_one_or_by_two = pytest.mark.parametrize("processors", [1, 2], ids=["by one thread", "by two"])


def address(memory: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


@dataclass
class Way(MemoryStore):
    """A store that gives a little at a time. Before the byte ``halt_at`` of its first answer it does ``halting``.

    After each little it does ``hear``.
    """

    halt_at: int = -1
    halting: Callable[[], object] = lambda: None
    taken: bytearray = field(default_factory=bytearray)
    addresses: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    pinned: list[str | None] = field(default_factory=list)
    given: int = 0
    hear: Callable[[], object] = lambda: None

    def __post_init__(self) -> None:
        super().__init__()
        self.keep(KEY, CONTENT)

    def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
        self.pinned.append(version.etag)
        super().read_range(version, start, length, target)

    def give(self, content: bytes, target: Target) -> None:
        at, first = 0, len(self.requests) == 1
        while at < len(content):
            if first and at <= self.halt_at < at + SENT:
                self.halting()
            sent = put(content[at : at + SENT], target)
            at += sent
            self.given += sent
            self.hear()

    def take(self, piece: memoryview) -> None:
        self.addresses.append(address(piece))
        self.lengths.append(len(piece))
        self.taken += piece

    def read(self, reading: Ranges, start: int = 0) -> list[int]:
        """The lengths of the pieces that were given."""

        def take(piece: memoryview) -> None:
            assert address(piece) not in map(address, reading._unused.queue), "somebody else may have it"
            self.take(piece)

        with reading:
            reading.read(Version(KEY, len(CONTENT)), start, take)
        assert self.taken == CONTENT[start:]
        assert self.pinned[0] is None
        assert None not in self.pinned[1:]
        assert {address % BLOCK_BYTES for address in self.addresses} == {0}
        assert {length % BLOCK_BYTES for length in self.lengths[:-1]} <= {0}
        return self.lengths
