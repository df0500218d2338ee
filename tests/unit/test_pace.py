"""The pace of a process: who is refused makes all wait, within a budget."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fake_time import SharedTime, Time
from support.pace_requests import RefusedError, Refusing, fine, once, patient, succeed
from support.workers import SECONDS, at_work
from weightdock.store import pace as pace_module
from weightdock.store.pace import ATTEMPTS, BUDGET, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, SLOTS, Pace

JITTER = (0.5, 1.5)
"""The shortest and the longest of a pause, as parts of it."""


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pace(time: Time) -> Pace:
    return Pace(sleep=time.sleep, clock=time.clock)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """No jitter: a pause is as long as it is."""
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)


def _use_up(pace: Pace) -> int:
    """Ask for ever; gives how often that was, until the budget was used up."""
    asked = 0

    def request() -> None:
        nonlocal asked
        asked += 1
        raise RefusedError

    with pytest.raises(RefusedError):
        pace.ask(request, patient)
    return asked


def test_an_answer_is_given_at_once(pace: Pace, time: Time) -> None:
    assert pace.ask(fine, once) == "an answer"
    assert time.slept == []


def test_a_refusal_that_passes_is_asked_again_after_a_pause(pace: Pace, time: Time) -> None:
    request = Refusing(1, time.clock)
    assert pace.ask(request, patient) == "an answer"
    assert len(request.asked) == 2
    assert JITTER[0] * FIRST_PAUSE_SECONDS <= request.asked[1] <= JITTER[1] * FIRST_PAUSE_SECONDS


def test_a_refusal_that_does_not_pass_is_told_at_once_and_slows_nobody_down(pace: Pace, time: Time) -> None:
    request = Refusing(1, time.clock)
    with pytest.raises(RefusedError) as refused:
        pace.ask(request, once)
    assert refused.value is request.errors[0]
    succeed(pace, 1)
    assert (request.asked, time.slept, pace.limit) == ([0.0], [], SLOTS)


@pytest.mark.parametrize("times", range(1, ATTEMPTS + 1))
def test_a_request_is_made_as_often_as_its_refusal_may_be_met_and_then_the_last_one_is_told(
    pace: Pace, time: Time, times: int
) -> None:
    request, told = Refusing(ATTEMPTS, time.clock), []

    def passing(error: Exception) -> int:
        told.append(error)
        return times

    with pytest.raises(RefusedError) as refused:
        pace.ask(request, passing)
    assert len(request.asked) == times
    assert refused.value is request.errors[times - 1]
    assert told == request.errors[:times]


def test_whoever_stops_the_program_is_not_asked_to_wait(pace: Pace, time: Time) -> None:
    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pace.ask(stop, patient)
    assert (time.slept, pace.limit) == ([], SLOTS)


def test_who_waits_when_the_program_is_stopped_waits_no_more_and_is_told_of_the_refusal(pace: Pace, time: Time) -> None:
    time.meanwhile = pace.stop
    request = Refusing(9, time.clock)
    with pytest.raises(RefusedError):
        pace.ask(request, patient)
    assert (len(request.asked), len(time.slept)) == (1, 1)
    assert pace.ask(fine, once) == "an answer", "what is still to be said is said"
    assert len(time.slept) == 1


def test_a_stop_ends_a_pause_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "FIRST_PAUSE_SECONDS", 600.0)
    pace, asked = Pace(), Event()

    def refused() -> NoReturn:
        asked.set()
        raise RefusedError

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(pace.ask, refused, patient)
        assert asked.wait(timeout=SECONDS)
        pace.stop()
        with pytest.raises(RefusedError):
            asking.result(timeout=SECONDS)


@pytest.mark.usefixtures("steady")
def test_pauses_double_up_to_the_longest(pace: Pace, time: Time) -> None:
    pace.ask(Refusing(9, time.clock), patient)
    assert time.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


@pytest.mark.usefixtures("steady")
def test_what_goes_well_shortens_the_next_pause_by_half_and_in_the_end_to_the_first(pace: Pace, time: Time) -> None:
    pace.ask(Refusing(4, time.clock), patient)  # the last pause was 2 seconds, and its success made it 1
    time.slept.clear()
    pace.ask(Refusing(1, time.clock), patient)
    assert time.slept == [2.0]
    succeed(pace, 3)
    time.slept.clear()
    pace.ask(Refusing(1, time.clock), patient)
    assert time.slept == [FIRST_PAUSE_SECONDS]


def test_the_jitter_of_pauses_keeps_its_bounds_and_uses_them() -> None:
    waits = []
    for seed in range(300):
        random.seed(seed)
        time = Time()
        Pace(sleep=time.sleep, clock=time.clock).ask(Refusing(1, time.clock), patient)
        waits.append(time.now / FIRST_PAUSE_SECONDS)
    assert JITTER[0] <= min(waits) < JITTER[0] + 0.1
    assert JITTER[1] - 0.1 < max(waits) <= JITTER[1]


def test_who_asks_while_another_waits_waits_as_long(pace: Pace, time: Time) -> None:
    asked = []

    def another() -> None:
        pace.ask(lambda: asked.append(time.now), once)

    time.meanwhile = another
    request = Refusing(1, time.clock)
    pace.ask(request, patient)
    [until] = asked
    assert until >= JITTER[0] * FIRST_PAUSE_SECONDS
    assert time.slept == [until, until]


def test_who_wakes_into_a_longer_pause_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    jitter = iter(JITTER)
    monkeypatch.setattr(random, "uniform", lambda _low, _high: next(jitter))
    time, together = SharedTime(workers=2), Barrier(2)
    pace = Pace(sleep=time.sleep, clock=time.clock)
    asked: list[list[float]] = [[], []]

    def work(number: int) -> None:
        def request() -> None:
            asked[number].append(time.clock())
            if len(asked[number]) == 1:
                together.wait(timeout=SECONDS)
                time.wait_for_sleepers(number)  # the second is refused when the first sleeps already
                raise RefusedError

        pace.ask(request, patient)
        time.leave()

    at_work(work, 2)
    assert asked == [[0.0, JITTER[1] * FIRST_PAUSE_SECONDS]] * 2


def test_workers_that_are_refused_together_wait_together_and_count_as_one_overload() -> None:
    time, together = SharedTime(workers=4), Barrier(4)
    pace = Pace(slots=8, sleep=time.sleep, clock=time.clock)
    asked: list[list[tuple[float, int]]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        def request() -> None:
            asked[number].append((time.clock(), pace.limit))
            if len(asked[number]) == 1:
                together.wait(timeout=SECONDS)
                raise RefusedError

        pace.ask(request, patient)
        time.leave()

    at_work(work, 4)
    [first], [(again, limit)] = ({one[attempt] for one in asked} for attempt in (0, 1))
    assert first == (0.0, 8)
    assert JITTER[0] * FIRST_PAUSE_SECONDS <= again <= JITTER[1] * FIRST_PAUSE_SECONDS
    assert limit == 4
    assert [len(one) for one in asked] == [2, 2, 2, 2]


def test_a_process_asks_in_vain_no_more_often_than_its_budget(pace: Pace) -> None:
    assert _use_up(pace) == 1 + BUDGET


def test_a_budget_is_of_all_requests_together(pace: Pace, time: Time) -> None:
    asked = 0
    for _ in range(20):
        request = Refusing(100, time.clock)
        with pytest.raises(RefusedError):
            pace.ask(request, lambda _: ATTEMPTS)
        asked += len(request.asked)
    assert asked == 20 + BUDGET


def test_a_used_up_budget_slows_nobody_down(pace: Pace, time: Time) -> None:
    _use_up(pace)
    time.now += 2 * LONGEST_PAUSE_SECONDS
    time.slept.clear()
    assert _use_up(pace) == 1
    assert time.slept == []


@pytest.mark.parametrize(("successes", "retries"), [(9, 0), (10, 1), (20, 2), (100, 10), (10_000, BUDGET)])
def test_a_tenth_of_a_retry_comes_back_with_each_success_up_to_the_whole_budget(
    pace: Pace, successes: int, retries: int
) -> None:
    _use_up(pace)
    succeed(pace, successes)
    assert _use_up(pace) == 1 + retries


def test_no_success_raises_the_budget_above_what_it_was(pace: Pace) -> None:
    succeed(pace, 1000)
    assert _use_up(pace) == 1 + BUDGET


@given(st.lists(st.integers(min_value=0, max_value=ATTEMPTS), max_size=60), st.integers(min_value=0))
def test_whatever_is_refused_the_limit_the_pauses_and_the_budget_keep_their_bounds(
    refusals: list[int], seed: int
) -> None:
    random.seed(seed)
    time = Time()
    pace = Pace(sleep=time.sleep, clock=time.clock)
    retries = successes = 0
    for times in refusals:
        request, before = Refusing(times, time.clock), len(time.slept)
        try:
            pace.ask(request, lambda _: ATTEMPTS)
            successes += 1
        except RefusedError:
            pass
        retries += len(request.asked) - 1
        assert 1 <= pace.limit <= SLOTS
        assert all(0 < slept <= JITTER[1] * LONGEST_PAUSE_SECONDS for slept in time.slept)
        assert len(time.slept) - before == len(request.asked) - 1
        assert retries <= BUDGET + successes / 10
