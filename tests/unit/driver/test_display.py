from __future__ import annotations

import errno
import io
import re
from typing import TextIO

import pytest
from rich.console import Console

from support.driver_fakes import Clock, model
from weightdock.events import Event, Stage, State
from weightdock_driver.display import Bars, Heartbeat, Quiet, Unbreakable, for_stderr


def event(name: str, stage: Stage, state: State, done: int = 0, total: int | None = None, note: str = "") -> Event:
    return Event(model(name), stage, state, done, total, note)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def heartbeat() -> tuple[Heartbeat, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return Heartbeat(stream, clock), stream, clock


def bars(height: int = 24, width: int = 120) -> tuple[Bars, io.StringIO, Clock]:
    stream, clock = Terminal(), Clock()
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    return Bars(console, clock), stream, clock


def last_picture(stream: io.StringIO) -> list[str]:
    """What stands on the terminal after the last redraw, without the control codes."""
    pictures = re.split(r"\x1b\[1A\x1b\[2K|\x1b\[2K", stream.getvalue())
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", pictures[-1]).splitlines() if line.strip()]


def test_every_change_of_state_is_a_line_and_mere_progress_is_none() -> None:
    display, stream, _ = heartbeat()
    display.event(event("timm/a", Stage.UPLOAD, State.STARTED, 0, 2_000_000))
    display.event(event("timm/a", Stage.UPLOAD, State.PROGRESS, 1_000_000, 2_000_000))
    display.event(event("timm/a", Stage.UPLOAD, State.DONE, 2_000_000, 2_000_000))
    assert stream.getvalue() == ("timm/a  upload started 0.0 MB of 2.0 MB\ntimm/a  upload done 2.0 MB\n")


def test_no_ten_seconds_pass_without_a_line_even_when_no_event_comes() -> None:
    display, stream, clock = heartbeat()
    for _ in range(4 * 60):
        clock.now += 0.25
        display.tick(["weightdock-timm-01234567"])
    lines = stream.getvalue().splitlines()
    assert lines[0] == "still running: weightdock-timm-01234567, for 9 s"
    assert 6 <= len(lines) <= 7


def test_a_flood_of_progress_does_not_put_the_heartbeat_off() -> None:
    display, stream, clock = heartbeat()
    display.event(event("timm/a", Stage.ACQUIRE, State.STARTED))
    for count in range(4 * 20):
        clock.now += 0.25
        display.event(event("timm/a", Stage.ACQUIRE, State.PROGRESS, count * 1_000_000, 100_000_000))
        display.tick(["weightdock-timm-01234567"])
    assert stream.getvalue().splitlines() == [
        "timm/a  acquire started",
        "still at it: timm/a acquire 35.0 of 100.0 MB for 9 s",
        "still at it: timm/a acquire 71.0 of 100.0 MB for 18 s",
    ]


def test_a_line_that_was_just_printed_puts_the_heartbeat_off() -> None:
    display, stream, clock = heartbeat()
    clock.now += 8
    display.event(event("timm/a", Stage.VERIFY, State.STARTED))
    clock.now += 8
    display.tick(["weightdock-timm-01234567"])
    assert len(stream.getvalue().splitlines()) == 1


def test_a_heartbeat_names_a_few_of_many_models() -> None:
    display, stream, clock = heartbeat()
    for name in "abcdef":
        display.event(event(f"timm/{name}", Stage.FETCH, State.STARTED))
    clock.now += 70
    display.tick(["weightdock-node-01234567"])
    assert stream.getvalue().splitlines()[-1] == (
        "still at it: timm/a fetch for 1:10; timm/b fetch for 1:10; timm/c fetch for 1:10; timm/d fetch for 1:10; "
        "and 2 more"
    )


def test_when_nothing_runs_there_is_nothing_to_say() -> None:
    display, stream, clock = heartbeat()
    clock.now += 100
    display.tick([])
    assert stream.getvalue() == ""


def test_a_terminal_shows_a_line_per_model_with_bytes_rate_and_time_left() -> None:
    display, stream, clock = bars()
    with display:
        display.tick(["weightdock-timm-01234567"])
        assert last_picture(stream) == ["weightdock-timm-01234567: starting, 0 s"]
        display.event(event("timm/a", Stage.UPLOAD, State.STARTED, 0, 100_000_000))
        display.event(event("ultralytics/b", Stage.ACQUIRE, State.STARTED))
        display.event(event("timm/c", Stage.UPLOAD, State.SKIPPED, note="Already exists in R2"))
        clock.now += 2
        display.event(event("timm/a", Stage.UPLOAD, State.PROGRESS, 50_000_000, 100_000_000))
        display.tick(["weightdock-timm-01234567"])
        shown = [re.sub(r" *[━╸╺]+ *", " | ", line) for line in last_picture(stream)]
    assert shown == [
        "timm/a         upload | 50.0 of 100.0 MB  25.0 MB/s  2 s left",
        "ultralytics/b  acquire | 2 s",
        "timm/c         upload skipped | Already exists in R2",
    ]


def test_pictures_are_drawn_at_most_three_times_a_second() -> None:
    display, stream, clock = bars()
    with display:
        display.event(event("timm/a", Stage.ACQUIRE, State.STARTED))
        display.tick(["weightdock-timm-01234567"])
        before = stream.getvalue()
        for _ in range(100):
            clock.now += 0.003
            display.event(event("timm/a", Stage.UPLOAD, State.STARTED))
            display.tick(["weightdock-timm-01234567"])
        assert stream.getvalue() == before
        clock.now += 0.1
        display.tick(["weightdock-timm-01234567"])
        assert stream.getvalue() != before


def test_the_first_model_is_shown_without_waiting_for_the_next_picture() -> None:
    display, stream, _ = bars()
    with display:
        display.tick(["weightdock-timm-01234567"])
        display.event(event("timm/a", Stage.UPLOAD, State.STARTED))
        display.tick(["weightdock-timm-01234567"])
        assert last_picture(stream)[0].startswith("timm/a  upload")


def test_on_a_low_terminal_what_is_finished_makes_room_for_what_is_not() -> None:
    display, stream, _ = bars(height=6)
    with display:
        for number in range(10):
            display.event(event(f"timm/m{number}", Stage.FETCH, State.STARTED))
        for number in range(8):
            display.event(event(f"timm/m{number}", Stage.FETCH, State.DONE))
        display.tick(["weightdock-node-01234567"])
        shown = [line.split()[0:3] for line in last_picture(stream)]
    assert [line[0] for line in shown[:2]] == ["timm/m8", "timm/m9"]
    assert shown[2] == ["and", "8", "more"]


def test_a_narrow_terminal_keeps_one_line_per_model() -> None:
    display, stream, _ = bars(width=60)
    with display:
        long = "ultralytics/a_model_with_a_name_that_is_rather_long_for_a_terminal"
        display.event(event(long, Stage.UPLOAD, State.FAILED, note="a reason that takes more room than there is here"))
        display.event(event("timm/a", Stage.UPLOAD, State.STARTED, 0, 100_000_000))
        display.tick(["weightdock-timm-01234567"])
        assert len(last_picture(stream)) == 2


def test_bars_are_for_terminals_and_heartbeats_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert _kind(Terminal()) is Bars
    assert _kind(io.StringIO()) is Heartbeat
    monkeypatch.setenv("TERM", "dumb")
    assert _kind(Terminal()) is Heartbeat
    assert isinstance(for_stderr(None), Quiet)


def _kind(stream: TextIO) -> type:
    shown = for_stderr(stream)
    assert isinstance(shown, Unbreakable)
    return type(shown._display)


class _Gone(Terminal):
    """A terminal that somebody closed."""

    def write(self, _text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_that_is_gone_ends_no_run(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    with for_stderr(_Gone()) as display:
        display.event(event("timm/a", Stage.UPLOAD, State.STARTED))
        display.tick(["weightdock-timm-01234567"])
        display.say("stopping")


def test_quiet_is_silent() -> None:
    stream = io.StringIO()
    with for_stderr(stream, quiet=True) as display:
        display.event(event("timm/a", Stage.UPLOAD, State.STARTED))
        display.tick(["weightdock-timm-01234567"])
        display.say("stopping")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("set_to", "coloured"), [(None, True), ("1", False)])
def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, set_to: str | None, coloured: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    if set_to:
        monkeypatch.setenv("NO_COLOR", set_to)
    stream = Terminal()
    with for_stderr(stream, Clock()) as display:
        display.event(event("timm/a", Stage.UPLOAD, State.FAILED))
        display.tick(["weightdock-timm-01234567"])
    assert ("\x1b[31m" in stream.getvalue()) is coloured
