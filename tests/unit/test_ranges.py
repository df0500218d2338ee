"""How many requests a file is, whose thread has it, and when ranges of it are asked for ahead."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Event, get_ident
from typing import Any

import pytest

from support.fake_time import Time
from support.way import CONTENT, KEY, NARROW, PIECE, SEEN, SENT, WIDE, Way, by_one_or_by_two
from weightdock.node.direct import BLOCK_BYTES
from weightdock.node.ranges import Ranges
from weightdock.store import Target, Version


@by_one_or_by_two
def test_on_a_wide_way_a_file_is_long_requests_one_after_another(processors: int) -> None:
    way = Way()
    assert way.read(Ranges(way, replace(WIDE, processors=processors))) == [PIECE] * 6 + [100]
    assert len(way.requests) == 4


def test_a_file_is_handed_to_another_thread_only_while_there_are_fewer_files_than_processors() -> None:
    receiving: set[int] = set()
    way, both, ended = Way(), Event(), Event()

    class Seen(Way):
        def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
            receiving.add(get_ident())
            super().read_range(version, start, length, target)

    other = Seen()

    def first(piece: memoryview) -> None:
        both.set()
        assert ended.wait(timeout=60)
        way.take(piece)

    with Ranges(way, replace(WIDE, ahead=4)) as reading, ThreadPoolExecutor(1) as pool:
        assert not reading.crowded
        under_way = pool.submit(reading.read, Version(KEY, len(CONTENT)), 0, first)
        assert both.wait(timeout=60)
        reading.store = other
        reading.read(Version(KEY, len(CONTENT)), 0, other.take)
        assert receiving == {get_ident()}
        ended.set()
        under_way.result()
        assert not reading.crowded
        receiving.clear()
        reading.read(Version(KEY, len(CONTENT)), 0, Way().take)
        assert get_ident() not in receiving


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


@by_one_or_by_two
def test_a_way_that_shows_to_be_narrow_ends_its_request_and_the_rest_comes_in_pieces(
    clock: Time, processors: int
) -> None:
    way = Way()
    way.hear = lambda: clock.sleep(0.02) if way.given == SEEN else None
    way.read(Ranges(way, replace(NARROW, processors=processors)))
    whole = (SEEN + SENT) // BLOCK_BYTES * BLOCK_BYTES
    assert len(way.requests) == 1 + -(-(len(CONTENT) - whole) // PIECE)


@by_one_or_by_two
def test_a_way_that_shows_to_be_narrow_over_several_requests_is_seen(clock: Time, processors: int) -> None:
    way = Way()
    way.hear = lambda: clock.sleep(0.0002)  # two thirds of a window for a request
    way.read(Ranges(way, replace(NARROW, request=2 * PIECE, processors=processors)))
    assert len(way.requests) > 4


@by_one_or_by_two
def test_a_bucket_that_makes_wait_before_it_answers_has_no_narrow_way(clock: Time, processors: int) -> None:
    way = Way(halt_at=SEEN, halting=lambda: clock.sleep(60))
    limits = replace(NARROW, waiting=0.5, request=2 * PIECE, processors=processors)
    assert way.read(Ranges(way, limits)) == [PIECE] * 6 + [100]
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
