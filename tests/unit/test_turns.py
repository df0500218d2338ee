"""How many files are under way: a few that keep the processor busy, more that only wait."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Barrier, Condition, Event, Semaphore

import pytest

from support.workers import SECONDS, at_work
from weightdock.node.turns import Turns


@dataclass
class Clocks:
    """Time, and what this process has used of a processor."""

    now: float = 0.0
    used: float = 0.0

    def pass_by(self, seconds: float, busy: float) -> None:
        self.now += seconds
        self.used += busy * seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    monkeypatch.setattr("time.process_time", lambda: made.used)
    return made


def limits(turns: Turns, clocks: Clocks, seconds: float, busy: float) -> list[int]:
    """How many may be under way after each of ten files."""
    found: list[int] = []

    def work(_: int) -> None:
        for _ in range(10):
            with turns.one():
                clocks.pass_by(seconds, busy)
            found.append(turns.limit)

    at_work(work, 1)
    return found


def test_files_that_only_wait_let_twice_as_many_in_up_to_the_most(clocks: Clocks) -> None:
    assert limits(Turns(4, 20), clocks, seconds=0.125, busy=0.25) == [8, 16] + [20] * 8


def test_files_that_keep_the_processor_busy_stay_as_few_as_they_are(clocks: Clocks) -> None:
    turns = Turns(4, 20)
    assert limits(turns, clocks, seconds=0.125, busy=0.875) == [4] * 10
    assert limits(turns, clocks, seconds=0.125, busy=0.25)[0] == 8, "what the processor did before counts no more"


def test_a_moment_says_nothing(clocks: Clocks) -> None:
    assert limits(Turns(4, 20), clocks, seconds=1 / 32, busy=0.25) == [4] * 3 + [8] * 4 + [16] * 3


@pytest.mark.parametrize("limit", [1, 4])
def test_as_many_as_the_limit_are_under_way_and_never_more(clocks: Clocks, limit: int) -> None:
    turns, full = Turns(limit, limit), Barrier(limit)
    under_way: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with turns.one():
            under_way.append(number)
            most.append(len(under_way))
            full.wait(timeout=SECONDS)  # everybody who may be in is in
            under_way.remove(number)

    at_work(work, 6 * limit)
    assert max(most) == limit
    assert clocks.now == 0


class Counted(Condition):
    """Says of each that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.release()  # whoever changes something now has to get the lock that this one gives up by waiting
        return super().wait(timeout)


def test_all_for_whom_there_is_room_come_in_at_once(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, both = Counted(), Barrier(2)
    monkeypatch.setattr("weightdock.node.turns.Condition", lambda: counted)
    turns = Turns(1, 2)

    def work(number: int) -> None:
        if number == 0:
            with turns.one():
                begun.set()
                for _ in range(2):
                    assert counted.waiting.acquire(timeout=SECONDS)
                clocks.pass_by(1, busy=0)
            return
        assert begun.wait(SECONDS)
        with turns.one():
            both.wait(timeout=SECONDS)

    begun = Event()
    at_work(work, 3)


def test_a_file_that_fails_gives_its_turn_back(clocks: Clocks) -> None:
    turns = Turns(1, 1)
    with pytest.raises(RuntimeError), turns.one():
        raise RuntimeError
    at_work(lambda _: turns.one().__enter__(), 1)
    assert clocks.now == 0
