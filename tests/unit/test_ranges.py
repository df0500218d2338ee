"""How many requests a file is, when ranges of it are asked for ahead, and what becomes of a reading that is ended."""

from __future__ import annotations

import ctypes
import math
import mmap
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import pytest

from support.memory_store import MemoryStore
from weightdock.artifact import ObjectKey
from weightdock.errors import StoreError
from weightdock.node import ranges
from weightdock.node.direct import BLOCK_BYTES
from weightdock.node.ranges import Limits, Ranges, Watch
from weightdock.store import Version

KEY = ObjectKey("models/pretrained/toy/alpha.bin")
PIECE = 4 * BLOCK_BYTES
CONTENT = random.Random("ranges").randbytes(6 * PIECE + 100)
SENT = 1000
"""Bytes that come at a time: blocks do not begin where they do."""

WIDE = Limits(wide=0, request=2 * PIECE, piece=PIECE, ahead=2)
NARROW = Limits(wide=math.inf, window=0.01, waiting=0, request=4 * PIECE, piece=PIECE, ahead=2)


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

    def read_range(self, version: Version, start: int, length: int, take: Callable[[bytes], None]) -> None:
        first = not self.requests
        self.pinned.append(version.etag)

        def slowly(content: bytes) -> None:
            for at in range(0, len(content), SENT):
                if first and at <= self.halt_at < at + SENT:
                    self.halting()
                take(content[at : at + SENT])
                self.given += SENT
                self.hear()

        super().read_range(version, start, length, slowly)

    def take(self, piece: memoryview) -> None:
        self.addresses.append(address(piece))
        self.lengths.append(len(piece))
        self.taken += piece

    def read(self, reading: Ranges, start: int = 0) -> list[int]:
        """The lengths of the pieces that were given."""

        def take(piece: memoryview) -> None:
            assert address(piece) not in {address(memory) for memory in reading._unused}, "somebody else may have it"
            self.take(piece)

        with reading:
            reading.read(Version(KEY, len(CONTENT)), start, take)
        assert self.taken == CONTENT[start:]
        assert self.pinned[0] is None
        assert None not in self.pinned[1:]
        assert {address % BLOCK_BYTES for address in self.addresses} == {0}
        assert {length % BLOCK_BYTES for length in self.lengths[:-1]} <= {0}
        return self.lengths


def test_on_a_wide_way_a_file_is_long_requests_one_after_another() -> None:
    way = Way()
    assert way.read(Ranges(way, WIDE)) == [PIECE] * 6 + [100]
    assert len(way.requests) == 4


@pytest.mark.parametrize(
    ("start", "requests"), [(BLOCK_BYTES, 3), (6 * PIECE, 1)], ids=["all but a block", "the last bytes"]
)
def test_of_a_file_whose_beginning_is_there_the_rest_is_given(start: int, requests: int) -> None:
    way = Way()
    way.read(Ranges(way, WIDE), start)
    assert len(way.requests) == requests


def test_a_way_that_shows_to_be_narrow_ends_its_request_and_the_rest_comes_in_pieces() -> None:
    way = Way(halt_at=PIECE + 10 * SENT)
    reading = Ranges(way, NARROW)
    shown = Event()
    watch = Watch.is_narrow

    def watched(self: Watch, now: float, waited: float, came: int) -> bool:
        narrow = watch(self, now, waited, came)
        if narrow:
            shown.set()
        return narrow

    way.halting = lambda: shown.wait(timeout=60)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Watch, "is_narrow", watched)
        way.read(reading)
    seen = (PIECE + 10 * SENT) // BLOCK_BYTES * BLOCK_BYTES
    assert len(way.requests) == 1 + -(-(len(CONTENT) - seen) // PIECE)


def test_on_a_narrow_way_a_file_begins_with_one_piece_which_names_its_version() -> None:
    way, pinned = Way(), []
    reading = Ranges(way, NARROW)
    reading._narrow = True
    through = reading._pool.submit

    def submit(call: Callable[..., Any], version: Version, *more: object) -> Future[Any]:
        pinned.append(version.etag)
        return through(call, version, *more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading._pool, "submit", submit)
        assert way.read(reading) == [PIECE] * 6 + [100]
    assert len(way.requests) == 7
    assert len(pinned) == 6
    assert None not in pinned, "asked ahead before the first answer"


def test_many_files_share_the_room_of_two_pieces() -> None:
    ways = [Way() for _ in range(4)]
    with Ranges(ways[0], NARROW) as reading, ThreadPoolExecutor(4) as pool:
        reading._narrow = True
        list(pool.map(lambda way: reading.read(Version(KEY, len(CONTENT)), 0, way.take), ways))
        assert len(reading._unused) <= NARROW.ahead
    assert [way.taken for way in ways] == [CONTENT] * 4


def test_a_disk_that_takes_no_more_ends_a_request_of_which_more_comes() -> None:
    refused = Event()
    way = Way(halt_at=PIECE + 3 * SENT, halting=lambda: refused.wait(timeout=60))

    def full(_piece: memoryview) -> None:
        refused.set()
        raise OSError(28, "No space left on device")

    with Ranges(way, WIDE) as reading, pytest.raises(OSError, match="No space left"):
        reading.read(Version(KEY, len(CONTENT)), 0, full)
    assert refused.is_set()
    assert way.given <= way.halt_at + SENT


def test_a_disk_that_takes_no_more_ends_a_request_that_waits_for_it() -> None:
    way, most = Way(), 2 * PIECE // SENT * SENT
    came = Event()
    way.hear = lambda: came.set() if way.given == most else None

    def full(_piece: memoryview) -> None:
        assert came.wait(timeout=60)
        raise OSError(28, "No space left on device")

    limits = replace(WIDE, request=len(CONTENT))
    with Ranges(way, limits) as reading, pytest.raises(OSError, match="No space left"):
        reading.read(Version(KEY, len(CONTENT)), 0, full)
    assert way.given == most


def test_a_disk_that_takes_no_more_ends_what_is_asked_for_ahead() -> None:
    way = Way()

    def full(_piece: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with Ranges(way, NARROW) as reading:
        reading._narrow = True
        with pytest.raises(OSError, match="No space left"):
            reading.read(Version(KEY, len(CONTENT)), 0, full)
    assert len(way.requests) <= 1 + NARROW.ahead


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[mmap.mmap]:
    """The memory of every reading, in the order in which it was made."""
    made: list[mmap.mmap] = []

    def kept(*given: int) -> mmap.mmap:
        made.append(mmap.mmap(*given))
        return made[-1]

    monkeypatch.setattr(ranges, "mmap", kept)
    return made


def test_what_was_asked_ahead_for_a_file_that_failed_has_its_room_until_it_has_come(made: list[mmap.mmap]) -> None:
    begun, go_on = Event(), Event()

    class Late(Way):
        def read_range(self, version: Version, start: int, length: int, take: Callable[[bytes], None]) -> None:
            if start == PIECE:
                assert begun.wait(timeout=60)
            if start == 2 * PIECE:
                begun.set()
                assert go_on.wait(timeout=60)
            super().read_range(version, start, length, take)

    def full(piece: memoryview) -> None:
        if way.lengths:
            raise OSError(28, "No space left on device")
        way.take(piece)

    way, other = Late(), Way()
    with Ranges(way, NARROW) as reading:
        reading._narrow = True
        with pytest.raises(OSError, match="No space left"):
            reading.read(Version(KEY, len(CONTENT)), 0, full)
        reading.store = other
        reading.read(Version(KEY, len(CONTENT)), 0, other.take)
        go_on.set()
    assert other.taken == CONTENT
    assert len(made) == NARROW.ahead


def test_nobody_gets_the_memory_into_which_a_file_that_failed_is_still_received(made: list[mmap.mmap]) -> None:
    go_on = Event()
    way, other = Way(halt_at=PIECE + 3 * SENT, halting=lambda: go_on.wait(timeout=60)), Way()

    def full(_piece: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with Ranges(way, replace(WIDE, ahead=4)) as reading:
        with pytest.raises(OSError, match="No space left"):
            reading.read(Version(KEY, len(CONTENT)), 0, full)
        reading.store = other
        reading.read(Version(KEY, len(CONTENT)), 0, other.take)
        go_on.set()
    assert other.taken == CONTENT
    assert set(other.addresses) == {address(memoryview(made[3]))}


def test_what_came_before_a_store_went_away_is_given() -> None:
    way = Way(halt_at=PIECE + 10 * SENT)

    def gone() -> None:
        raise StoreError("the store went away", cause="a test", next="nothing")

    way.halting = gone
    with Ranges(way, WIDE) as reading, pytest.raises(StoreError, match="went away"):
        reading.read(Version(KEY, len(CONTENT)), 0, way.take)
    seen = (PIECE + 10 * SENT) // SENT * SENT
    assert way.taken == CONTENT[:seen]


def watched(network: float, disk: float) -> list[bool]:
    """What a watch says of 16 bytes at a time, which take so many seconds; a way is wide from 100 bytes a second."""
    watch, now, came, said = Watch(Limits(wide=100, window=1)), 1.0, 0, []
    for _ in range(40):
        now, came = now + network, came + 16
        said.append(watch.is_narrow(now, network, came))
        now += disk
    return said


@pytest.mark.parametrize(
    ("network", "disk"), [(0.1, 0.0), (0.1, 0.05), (0.01, 0.3)], ids=["fast", "fast, and a disk", "a slow disk"]
)
def test_a_wide_way_is_not_said_to_be_narrow(network: float, disk: float) -> None:
    assert not any(watched(network, disk))


@pytest.mark.parametrize(("network", "disk"), [(0.3, 0.0), (0.3, 0.25)], ids=["slow", "slow, and a slow disk"])
def test_a_narrow_way_shows_within_a_window(network: float, disk: float) -> None:
    assert watched(network, disk).index(True) == -(-1 // (network + disk))
