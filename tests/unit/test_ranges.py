"""How many requests a file is, when ranges of it are asked for ahead, and what becomes of a reading that is ended."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import pytest

from support.fake_time import Time
from support.memory_store import MemoryStore, put
from weightdock.artifact import ObjectKey
from weightdock.errors import StoreError
from weightdock.node.direct import BLOCK_BYTES
from weightdock.node.ranges import Limits, Ranges, Watch
from weightdock.store import Target, Version

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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of what is measured."""
    time = Time()
    monkeypatch.setattr("time.monotonic", time.clock)
    return time


SEEN = PIECE + 10 * SENT  # of the first answer, before it halts


def test_a_way_that_shows_to_be_narrow_ends_its_request_and_the_rest_comes_in_pieces(clock: Time) -> None:
    way = Way()
    way.hear = lambda: clock.sleep(0.02) if way.given == SEEN else None
    way.read(Ranges(way, NARROW))
    whole = (SEEN + SENT) // BLOCK_BYTES * BLOCK_BYTES
    assert len(way.requests) == 1 + -(-(len(CONTENT) - whole) // PIECE)


def test_a_bucket_that_makes_wait_before_it_answers_has_no_narrow_way(clock: Time) -> None:
    way = Way(halt_at=SEEN, halting=lambda: clock.sleep(60))
    assert way.read(Ranges(way, replace(NARROW, waiting=0.5, request=2 * PIECE))) == [PIECE] * 6 + [100]
    assert len(way.requests) == 4


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
        assert reading._unused.qsize() == NARROW.ahead
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
    way, most = Way(), 2 * PIECE
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


def test_nobody_gets_the_memory_of_what_was_asked_ahead_for_a_file_that_failed_until_it_has_come() -> None:
    begun, go_on = Event(), Event()

    class Late(Way):
        def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
            if start == PIECE:
                assert begun.wait(timeout=60)
            if start == 2 * PIECE:
                begun.set()
                assert go_on.wait(timeout=60)
            super().read_range(version, start, length, target)

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
    assert len(set(other.addresses)) == 1
    assert reading._unused.qsize() == NARROW.ahead


def test_nobody_gets_the_memory_into_which_a_file_that_failed_is_still_received() -> None:
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
    assert len(set(other.addresses)) == 1
    assert reading._unused.qsize() == 4


def test_what_came_before_a_store_went_away_is_given() -> None:
    way = Way(halt_at=SEEN)

    def gone() -> None:
        raise StoreError("the store went away", cause="a test", next="nothing")

    way.halting = gone
    with Ranges(way, WIDE) as reading, pytest.raises(StoreError, match="went away"):
        reading.read(Version(KEY, len(CONTENT)), 0, way.take)
    assert way.taken == CONTENT[:SEEN]


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
