"""How many parts may be in flight: halved by an overload, one more with what goes well."""

from __future__ import annotations

import threading
from threading import Barrier, Lock
from typing import NoReturn

import pytest

from support.fake_time import Time
from support.pace_requests import RefusedError, Refusing, patient, succeed
from support.workers import SECONDS, at_work
from weightdock.store.pace import Pace


def refuse() -> NoReturn:
    raise RefusedError


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pace(time: Time) -> Pace:
    return Pace(sleep=time.sleep, clock=time.clock)


def test_each_overload_halves_what_may_be_in_flight_down_to_one(pace: Pace) -> None:
    limits = []

    def request() -> None:
        limits.append(pace.limit)
        raise RefusedError

    with pytest.raises(RefusedError):
        pace.ask(request, lambda _: 5)
    assert limits == [16, 8, 4, 2, 1]


def test_what_may_be_in_flight_grows_again_up_to_what_it_was_and_no_further(time: Time) -> None:
    pace, limits = Pace(slots=4, sleep=time.sleep, clock=time.clock), []
    with pytest.raises(RefusedError):
        pace.ask(refuse, lambda _: 3)
    for _ in range(20):
        limits.append(pace.limit)
        succeed(pace, 1)
    assert limits == [1] + [2] * 2 + [3] * 3 + [4] * 14


def test_growth_begins_anew_after_a_refusal(pace: Pace, time: Time) -> None:
    succeed(pace, 3)
    pace.ask(Refusing(1, time.clock), patient)  # and the success after it is the first of the eight that it takes
    succeed(pace, 6)
    assert pace.limit == 8
    succeed(pace, 1)
    assert pace.limit == 9


@pytest.mark.parametrize("limit", [1, 2, 4, 8])
def test_as_many_as_the_limit_are_in_flight_and_never_more(limit: int) -> None:
    pace, lock, full = Pace(slots=limit), Lock(), Barrier(limit)
    now, most = 0, 0

    def work(_: int) -> None:
        nonlocal now, most
        with pace.slot():
            with lock:
                now += 1
                most = max(most, now)
            full.wait(timeout=SECONDS)  # everybody who may be in is in
            with lock:
                now -= 1

    at_work(work, 24)
    assert (now, most) == (0, limit)


class Watched(threading.Condition):
    """Says that somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()  # whoever changes something now has to get the lock that this one gives up by waiting
        return super().wait(timeout)


@pytest.mark.parametrize("frees", ["a slot", "a higher limit"])
def test_who_waits_for_a_slot_gets_it_as_soon_as_there_is_one(
    monkeypatch: pytest.MonkeyPatch, time: Time, frees: str
) -> None:
    watched, both, plain = Watched(), Barrier(2), threading.Condition
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Condition", lambda *of: plain(*of) if of else watched)
        pace = Pace(slots=2, sleep=time.sleep, clock=time.clock)
    with pytest.raises(RefusedError):
        pace.ask(refuse, lambda _: 2)
    assert pace.limit == 1

    def work(_: int) -> None:
        with pace.slot():
            assert watched.waiting.wait(SECONDS)
            if frees == "a higher limit":
                succeed(pace, 1)
                both.wait(SECONDS)

    at_work(work, 2)


def test_after_a_refusal_fewer_get_a_slot(time: Time) -> None:
    pace = Pace(slots=4, sleep=time.sleep, clock=time.clock)
    with pytest.raises(RefusedError):
        pace.ask(Refusing(2, time.clock), lambda _: 2)
    assert pace.limit == 2
    lock, pairs = Lock(), Barrier(2)
    now, most = 0, 0

    def work(_: int) -> None:
        nonlocal now, most
        with pace.slot():
            with lock:
                now += 1
                most = max(most, now)
            pairs.wait(timeout=SECONDS)
            with lock:
                now -= 1

    at_work(work, 8)
    assert most == 2


def test_a_part_that_fails_gives_its_slot_back() -> None:
    pace = Pace(slots=1)
    for _ in range(3):
        with pytest.raises(RefusedError), pace.slot():
            refuse()

    def work(_: int) -> None:
        with pace.slot():
            pass

    at_work(work, 2)


def test_who_waits_for_a_slot_is_told_that_nothing_begins_any_more() -> None:
    pace, ended = Pace(slots=1), []

    def wait(number: int) -> None:
        if number == 0:
            while len(vars(pace._changed)["_waiters"]) < 2:
                threading.Event().wait(0.001)
            pace.stop()
            return
        try:
            with pace.slot():
                pytest.fail("it is taken")
        except KeyboardInterrupt:
            ended.append(number)

    with pace.slot():
        at_work(wait, workers=3)
    assert sorted(ended) == [1, 2]
    with pytest.raises(KeyboardInterrupt), pace.slot():
        pytest.fail("it is free, and that is no matter")


def test_after_the_stop_nothing_is_asked_again(pace: Pace) -> None:
    pace.stop()
    asked = []

    def request() -> None:
        asked.append(1)
        raise RefusedError

    with pytest.raises(RefusedError):
        pace.ask(request, patient)
    assert asked == [1]
