from __future__ import annotations

import pytest

from support.driver_fakes import Clock, model
from weightdock.events import Event, Stage, State
from weightdock_driver.progress import Board, Row, duration

NAME = "timm/convnext_tiny"


def board() -> tuple[Board, Clock]:
    clock = Clock()
    return Board(clock), clock


def hear(board: Board, stage: Stage, state: State, done: int = 0, total: int | None = None, name: str = NAME) -> Row:
    board.hear(Event(model(name), stage, state, done, total))
    return next(row for row in board.rows if row.model == model(name))


def test_a_model_is_active_from_the_start_of_a_stage_to_its_end() -> None:
    models, _ = board()
    for state, active in [
        (State.STARTED, True),
        (State.PROGRESS, True),
        (State.DONE, False),
        (State.SKIPPED, False),
        (State.FAILED, False),
    ]:
        assert hear(models, Stage.UPLOAD, state).active is active
        assert bool(models.active) is active


def test_rate_and_time_left_come_from_the_last_ten_seconds() -> None:
    models, clock = board()
    hear(models, Stage.UPLOAD, State.STARTED, 0, 100_000_000)
    for second in range(1, 31):
        clock.now += 1
        done = 1_000_000 * (second if second <= 15 else 2 * second - 15)
        row = hear(models, Stage.UPLOAD, State.PROGRESS, done)
    assert row.rate == pytest.approx(2_000_000)
    assert row.seconds_left == pytest.approx(27.5)
    assert row.amount == "45.0 of 100.0 MB"


def test_no_rate_is_invented_where_nothing_was_measured() -> None:
    models, clock = board()
    assert hear(models, Stage.UPLOAD, State.STARTED).rate is None
    assert hear(models, Stage.UPLOAD, State.PROGRESS, 10).rate is None  # in the same moment
    clock.now += 1
    row = hear(models, Stage.UPLOAD, State.PROGRESS, 20)
    assert row.rate == 20
    assert row.seconds_left is None


def test_the_next_stage_counts_anew() -> None:
    models, clock = board()
    hear(models, Stage.ACQUIRE, State.STARTED, 0, 50)
    clock.now += 5
    hear(models, Stage.ACQUIRE, State.PROGRESS, 50)
    row = hear(models, Stage.VERIFY, State.STARTED)
    assert (row.done_bytes, row.total_bytes, row.rate, row.since) == (0, None, None, clock.now)
    clock.now += 1
    assert hear(models, Stage.VERIFY, State.PROGRESS, 60).rate == 60


def test_a_stage_whose_start_was_not_told_counts_anew_too() -> None:
    models, clock = board()
    hear(models, Stage.ACQUIRE, State.PROGRESS, 50, 50)
    clock.now += 5
    row = hear(models, Stage.UPLOAD, State.PROGRESS, 10)
    assert (row.stage, row.done_bytes, row.total_bytes, row.since) == (Stage.UPLOAD, 10, None, clock.now)


def test_the_end_of_a_stage_keeps_the_bytes_that_it_counted() -> None:
    models, _ = board()
    hear(models, Stage.FETCH, State.STARTED, 0, 5_000_000)
    hear(models, Stage.FETCH, State.PROGRESS, 5_000_000)
    assert hear(models, Stage.FETCH, State.DONE).amount == "5.0 MB"


def test_models_stay_in_the_order_in_which_they_were_heard_of() -> None:
    models, _ = board()
    hear(models, Stage.ACQUIRE, State.STARTED, name="timm/b")
    hear(models, Stage.ACQUIRE, State.STARTED, name="timm/a")
    hear(models, Stage.UPLOAD, State.STARTED, name="timm/b")
    assert [row.model.name for row in models.rows] == ["b", "a"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (247, "4:07"), (3753, "1:02:33")]
)
def test_durations_read_like_a_clock(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
