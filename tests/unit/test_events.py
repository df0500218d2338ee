"""Events: one line for machines, one line for people."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdock import events
from weightdock.artifact import Framework, ModelId
from weightdock.errors import WeightdockError
from weightdock.events import Event, Lines, Ndjson, Stage, State

MODEL = ModelId.parse("timm/convnext_tiny")
MODELS = st.builds(
    ModelId,
    st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True).map(Framework),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", fullmatch=True),
)
SIZES = st.integers(min_value=0, max_value=2**63)
EVENTS = st.builds(
    Event,
    model=MODELS,
    stage=st.sampled_from(Stage),
    state=st.sampled_from(State),
    done_bytes=SIZES,
    total_bytes=st.none() | SIZES,
    note=st.text() | st.sampled_from(["a\nb", "\u2028", "\r", "\0", '"', "\ud800"]),
)


class Stream(io.StringIO):
    """A stream that lets another thread in between any two writes."""

    def write(self, text: str) -> int:
        written = super().write(text)
        time.sleep(0.0001)
        return written


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _progress(done: int) -> Event:
    return Event(MODEL, Stage.FETCH, State.PROGRESS, done, 100_000_000)


@given(EVENTS)
def test_an_event_is_one_ascii_line_that_reads_back_as_itself(event: Event) -> None:
    line = event.to_json()
    assert line.isascii()
    assert line.isprintable()
    assert events.from_json(json.loads(line)) == event


def test_the_line_of_an_event_is_this_one() -> None:
    event = Event(MODEL, Stage.UPLOAD, State.PROGRESS, 5, 10, "half")
    assert event.to_json() == (
        '{"weightdock": 1, "event": "progress", "model": "timm/convnext_tiny", "stage": "upload", '
        '"done_bytes": 5, "total_bytes": 10, "note": "half"}'
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"model": None},
        {"model": "../convnext_tiny"},
        {"stage": "sleep"},
        {"event": "report"},
        {"done_bytes": "many"},
        {"total_bytes": [1]},
    ],
    ids=repr,
)
def test_a_line_that_is_no_event_is_refused_in_the_ways_that_its_readers_expect(changed: dict[str, object]) -> None:
    good = json.loads(Event(MODEL, Stage.UPLOAD, State.DONE).to_json())
    assert events.from_json(good)
    with pytest.raises((KeyError, TypeError, ValueError, WeightdockError)):
        events.from_json(good | changed)


def test_a_line_that_lacks_a_field_is_refused() -> None:
    good = json.loads(Event(MODEL, Stage.UPLOAD, State.DONE).to_json())
    for name in good.keys() - {"weightdock"}:
        with pytest.raises(KeyError):
            events.from_json({key: value for key, value in good.items() if key != name})


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (Event(MODEL, Stage.ACQUIRE, State.STARTED), "timm/convnext_tiny  acquire started"),
        (Event(MODEL, Stage.ACQUIRE, State.PROGRESS, 1_250_000), "timm/convnext_tiny  acquire progress 1.2 MB"),
        (_progress(50_000_000), "timm/convnext_tiny  fetch progress 50.0 MB of 100.0 MB"),
        (
            Event(MODEL, Stage.UPLOAD, State.STARTED, 0, 9_000_000),
            "timm/convnext_tiny  upload started 0.0 MB of 9.0 MB",
        ),
        (Event(MODEL, Stage.FETCH, State.DONE, 7_000_000, 7_000_000), "timm/convnext_tiny  fetch done 7.0 MB"),
        (
            Event(MODEL, Stage.UPLOAD, State.SKIPPED, note="Already exists in R2"),
            "timm/convnext_tiny  upload skipped: Already exists in R2",
        ),
        (
            Event(MODEL, Stage.UPLOAD, State.FAILED, note="\x1b[2J"),
            "timm/convnext_tiny  upload failed: \N{REPLACEMENT CHARACTER}[2J",
        ),
    ],
)
def test_an_event_reads_as_a_sentence(event: Event, sentence: str) -> None:
    assert events.sentence(event) == sentence


def test_lines_tell_every_change_and_of_progress_no_more_than_a_sign_of_life_every_ten_seconds() -> None:
    stream, clock = Stream(), Clock()
    lines = Lines(stream, clock)
    for seconds, event in [
        (0.0, Event(MODEL, Stage.FETCH, State.STARTED, 0, 100_000_000)),
        (9.9, _progress(10_000_000)),
        (10.0, _progress(20_000_000)),
        (19.9, _progress(30_000_000)),
        (20.5, _progress(40_000_000)),
        (21.0, Event(MODEL, Stage.FETCH, State.FAILED, note="the store is gone")),
        (30.9, _progress(50_000_000)),
    ]:
        clock.now = 100.0 + seconds
        lines(event)
    assert stream.getvalue() == (
        "timm/convnext_tiny  fetch started 0.0 MB of 100.0 MB\n"
        "timm/convnext_tiny  fetch progress 20.0 MB of 100.0 MB\n"
        "timm/convnext_tiny  fetch progress 40.0 MB of 100.0 MB\n"
        "timm/convnext_tiny  fetch failed: the store is gone\n"
    )


def test_lines_go_to_stderr_and_ndjson_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event(MODEL, Stage.FETCH, State.DONE)
    Lines()(event)
    Ndjson()(event)
    events.ignore(event)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{event.to_json()}\n", "timm/convnext_tiny  fetch done\n")


def test_where_stderr_is_closed_or_takes_nothing_no_line_goes_anywhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        for stderr in (None, io.TextIOWrapper(full, write_through=True)):
            monkeypatch.setattr(sys, "stderr", stderr)
            Lines()(Event(MODEL, Stage.FETCH, State.DONE))
        monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_who_goes_away_while_events_are_told_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    end, into = os.pipe()
    os.close(end)
    with os.fdopen(into, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(KeyboardInterrupt):
            Ndjson()(Event(MODEL, Stage.FETCH, State.DONE))
        os.dup2(os.open(os.devnull, os.O_WRONLY), into)


@pytest.mark.parametrize("kind", [Ndjson, Lines])
def test_an_event_is_not_held_back(monkeypatch: pytest.MonkeyPatch, kind: type[Ndjson] | type[Lines]) -> None:
    arrived = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(arrived, write_through=False))
    kind()(Event(MODEL, Stage.FETCH, State.DONE))
    assert arrived.getvalue().endswith(b"\n")


@pytest.mark.parametrize("kind", [Ndjson, Lines])
def test_threads_do_not_cut_into_each_others_lines(
    monkeypatch: pytest.MonkeyPatch, kind: type[Ndjson] | type[Lines]
) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    observe, event = kind(), Event(MODEL, Stage.FETCH, State.DONE)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(observe, [event] * 64))
    line = event.to_json() if kind is Ndjson else events.sentence(event)
    assert stream.getvalue() == f"{line}\n" * 64
