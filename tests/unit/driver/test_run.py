from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from queue import SimpleQueue

import pytest

from support.driver_fakes import FakeDisplay, FakeEngine, Play, job, model, reported, result
from weightdock.errors import EngineError
from weightdock.events import Event, Stage, State
from weightdock.report import RunReport
from weightdock_driver import run
from weightdock_driver.signals import Stopped

TIMM, ULTRALYTICS = job("timm"), job("ultralytics")
EVENT = Event(model("timm/a"), Stage.UPLOAD, State.STARTED)


def engine(timm: Play, ultralytics: Play | None = None) -> FakeEngine:
    other = ultralytics or Play(reported(result("ultralytics/a")))
    return FakeEngine({"weightdock/timm-uploader": timm, "weightdock/ultralytics-uploader": other})


def removed(record: Sequence[str]) -> list[str]:
    return sorted(line for line in record if line.startswith("remove"))


BOTH_REMOVED = ["remove weightdock-timm-01234567", "remove weightdock-ultralytics-01234567"]


def interrupting(number: signal.Signals) -> Play:
    """A container that sends this process a signal and then runs on until it is asked to end."""
    return Play(waits=True, on_output=lambda: os.kill(os.getpid(), number))


def test_containers_run_side_by_side_and_their_ends_come_in_the_order_of_the_jobs() -> None:
    meeting = threading.Barrier(2, timeout=10)  # neither gets past it unless both run

    def meet() -> None:
        meeting.wait()

    fake = engine(
        Play(EVENT.to_json() + "\n" + reported(result("timm/a")), on_output=meet),
        Play("some words", status=7, on_output=meet),
    )
    display = FakeDisplay()
    timm, ultralytics = run.run(fake, [TIMM, ULTRALYTICS], display)
    assert timm.report == RunReport((result("timm/a"),))
    assert (ultralytics.exit.status, ultralytics.report, ultralytics.tail) == (7, None, ("some words",))
    assert display.events == [EVENT]
    assert removed(fake.record) == BOTH_REMOVED


def test_all_are_made_before_any_is_started() -> None:
    fake = engine(Play())
    run.run(fake, [TIMM, ULTRALYTICS], FakeDisplay())
    assert [line.split()[0] for line in fake.record[:4]] == ["make", "make", "start", "start"]


def test_when_one_cannot_start_none_is_left_and_the_engines_error_is_the_runs() -> None:
    fake = engine(Play(waits=True), Play(fails_to_start=True))
    with pytest.raises(EngineError, match="cannot start"):
        run.run(fake, [TIMM, ULTRALYTICS], FakeDisplay())
    assert removed(fake.record) == BOTH_REMOVED


def test_a_container_that_the_engine_loses_does_not_end_the_others() -> None:
    lost = EngineError("lost", cause="x", next="y")
    timm, ultralytics = run.run(engine(Play(breaks=lost)), [TIMM, ULTRALYTICS], FakeDisplay())
    assert timm.lost is lost
    assert ultralytics.report == RunReport((result("ultralytics/a"),))


def test_a_defect_of_the_listener_ends_the_run_and_leaves_no_container() -> None:
    fake = engine(Play(breaks=RuntimeError("a defect")), Play(waits=True))
    with pytest.raises(RuntimeError, match="a defect"):
        run.run(fake, [TIMM, ULTRALYTICS], FakeDisplay())
    assert removed(fake.record) == BOTH_REMOVED


def test_the_display_sees_time_pass_while_nothing_is_heard() -> None:
    display = FakeDisplay()
    run.run(engine(Play(on_output=lambda: time.sleep(0.7))), [TIMM, ULTRALYTICS], display)
    assert display.ticks.count(["weightdock-timm-01234567"]) >= 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_asks_what_runs_to_end_and_removes_everything(number: signal.Signals, code: int) -> None:
    fake, display = engine(interrupting(number)), FakeDisplay()
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    began = time.monotonic()
    with pytest.raises(Stopped) as stopped:
        run.run(fake, [TIMM, ULTRALYTICS], display)
    assert time.monotonic() - began < run.GRACE_SECONDS / 2, "it waited for containers that had ended"
    assert stopped.value.exit_code == code
    assert str(stopped.value).startswith(
        f"stopped by {number.name}; removed weightdock-timm-01234567, weightdock-ultralytics-01234567\n"
    )
    assert "terminate weightdock-timm-01234567" in fake.record
    assert removed(fake.record) == BOTH_REMOVED
    assert display.said[0].startswith(f"{number.name}: stopping weightdock-timm-01234567")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_a_signal_that_came_before_ends_the_run_before_anything_is_made() -> None:
    fake, earlier = engine(Play()), SimpleQueue[signal.Signals]()
    earlier.put(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped:
        run.run(fake, [TIMM, ULTRALYTICS], FakeDisplay(), earlier=earlier)
    assert (stopped.value.exit_code, fake.record) == (143, [])


def test_what_was_to_be_kept_is_not_told_as_removed() -> None:
    kept = replace(TIMM, spec=replace(TIMM.spec, run=replace(TIMM.spec.run, keep=True)))
    with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped:
        run.run(engine(interrupting(signal.SIGTERM)), [kept], FakeDisplay())
    assert str(stopped.value).startswith("stopped by SIGTERM; kept weightdock-timm-01234567\n")


def test_a_container_that_does_not_end_when_asked_is_removed_after_the_grace() -> None:
    stubborn = interrupting(signal.SIGINT)
    stubborn.heeds_sigterm = False
    fake = engine(stubborn)
    began = time.monotonic()
    with pytest.raises(Stopped):
        run.run(fake, [TIMM], FakeDisplay(), run.Limits(grace=0.5))
    assert 0.5 <= time.monotonic() - began < 5
    assert removed(fake.record) == BOTH_REMOVED[:1]


def test_a_second_signal_ends_the_waiting_and_leaves_no_container_either() -> None:
    stubborn = interrupting(signal.SIGINT)
    stubborn.heeds_sigterm = False

    class Impatient(FakeDisplay):
        def say(self, text: str) -> None:
            super().say(text)
            os.kill(os.getpid(), signal.SIGINT)

    fake = engine(stubborn)
    began = time.monotonic()
    with pytest.raises(Stopped):
        run.run(fake, [TIMM], Impatient(), run.Limits(grace=60))
    assert time.monotonic() - began < 10
    assert removed(fake.record) == BOTH_REMOVED[:1]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        def hang_up() -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(3 * run.TICK_SECONDS)  # for the loop to see it, were it not ignored

        timm = Play(reported(result("timm/a")), on_output=hang_up)
        (ended,) = run.run(engine(timm), [TIMM], FakeDisplay())
        assert ended.report
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_more_run_at_a_time_than_was_asked_for() -> None:
    fake, lock, now, most = engine(Play()), threading.Lock(), [0], [0]

    def one_more() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        with lock:
            now[0] -= 1

    fake.plays = {image: Play(on_output=one_more) for image in fake.plays}
    ended = run.run(
        fake, [TIMM, ULTRALYTICS, job("timm", "b"), job("timm", "c")], FakeDisplay(), run.Limits(parallel=2)
    )
    assert (len(ended), most[0]) == (4, 2)


def test_when_the_time_is_up_what_has_ended_counts_and_the_rest_is_stopped_and_lost() -> None:
    fake, display = engine(Play(waits=True)), FakeDisplay()
    began = time.monotonic()
    timm, ultralytics = run.run(fake, [TIMM, ULTRALYTICS], display, run.Limits(seconds=0.5))
    assert 0.5 <= time.monotonic() - began < run.GRACE_SECONDS
    assert timm.lost
    assert timm.lost.what == "ended after 0.5 s, before there was a report"
    assert ultralytics.report == RunReport((result("ultralytics/a"),))
    assert display.said == ["time is up: stopping weightdock-timm-01234567 (once more: without waiting)"]
    assert removed(fake.record) == BOTH_REMOVED


def test_what_waits_for_its_turn_when_the_time_is_up_is_lost_too() -> None:
    fake = engine(Play(waits=True))
    timm, ultralytics = run.run(fake, [TIMM, ULTRALYTICS], FakeDisplay(), run.Limits(parallel=1, seconds=0.3))
    assert timm.lost
    assert ultralytics.lost
    assert "start weightdock-ultralytics-01234567" not in fake.record
