"""What becomes of a reading that ends early: its requests, its memory, and what had come."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import pytest

from support.way import CONTENT, KEY, NARROW, PIECE, SEEN, SENT, WIDE, Way, by_one_or_by_two
from weightdock.errors import StoreError
from weightdock.node.ranges import Ranges, Take
from weightdock.store import Target, Version


def test_what_a_full_disk_did_not_take_is_not_given_to_it_again() -> None:
    way, given = Way(), []

    def full(piece: memoryview) -> None:
        given.append(len(piece))
        raise OSError(28, "No space left on device")

    with Ranges(way, replace(WIDE, processors=1)) as reading:
        with pytest.raises(OSError, match="No space left"):
            reading.read(Version(KEY, len(CONTENT)), 0, full)
        assert reading._unused.qsize() == WIDE.ahead
    assert given == [PIECE]


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


def _read_after(full: Take, reading: Ranges, other: Way) -> None:
    """A file after one that failed, which gets one piece of memory alone."""
    with pytest.raises(OSError, match="No space left"):
        reading.read(Version(KEY, len(CONTENT)), 0, full)
    reading.store = other
    reading.read(Version(KEY, len(CONTENT)), 0, other.take)
    assert other.taken == CONTENT
    assert len(set(other.addresses)) == 1


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
        _read_after(full, reading, other)
        go_on.set()
    assert reading._unused.qsize() == NARROW.ahead


def test_nobody_gets_the_memory_into_which_a_file_that_failed_is_still_received() -> None:
    go_on = Event()
    way, other = Way(halt_at=PIECE + 3 * SENT, halting=lambda: go_on.wait(timeout=60)), Way()

    def full(_piece: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with Ranges(way, replace(WIDE, ahead=4)) as reading:
        _read_after(full, reading, other)
        go_on.set()
    assert reading._unused.qsize() == 4


@by_one_or_by_two
def test_what_came_before_a_store_went_away_is_given(processors: int) -> None:
    way = Way(halt_at=SEEN)

    def gone() -> None:
        raise StoreError("the store went away", cause="a test", next="nothing")

    way.halting = gone
    limits = replace(WIDE, processors=processors)
    with Ranges(way, limits) as reading, pytest.raises(StoreError, match="went away"):
        reading.read(Version(KEY, len(CONTENT)), 0, way.take)
    assert way.taken == CONTENT[:SEEN]


def test_where_the_system_gives_no_thread_no_memory_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    with Ranges(Way(), WIDE) as reading:
        monkeypatch.setattr(reading._pool, "_adjust_thread_count", refuse)  # asked once what is to be done is queued
        with pytest.raises(RuntimeError, match="new thread"):
            reading.read(Version(KEY, len(CONTENT)), 0, lambda _: None)
        assert reading._unused.qsize() == WIDE.ahead
        monkeypatch.undo()
        given: list[int] = []
        reading.read(Version(KEY, len(CONTENT)), 0, lambda piece: given.append(len(piece)))
        assert sum(given) == len(CONTENT)
