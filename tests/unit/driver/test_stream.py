from __future__ import annotations

import json

import pytest

from support.driver_fakes import model, reported, result
from weightdock.errors import OriginError
from weightdock.events import Event, Stage, State
from weightdock.report import RunReport
from weightdock_driver import stream
from weightdock_driver.stream import Output

EVENT = Event(model("timm/convnext_tiny"), Stage.ACQUIRE, State.PROGRESS, 5, 10, "naïve")

UNREADABLE_ROW = {"model": 3, "size_bytes": 1, "sha256": None, "error": None}


def heard(*chunks: tuple[bytes | None, bytes | None]) -> tuple[Output, list[Event]]:
    events: list[Event] = []
    output = Output(events.append)
    for chunk in chunks:
        output.feed(*chunk)
    output.finish()
    return output, events


def test_events_and_report_are_told_from_the_rest_wherever_a_chunk_ends() -> None:
    failed = result("timm/convnext_tiny", OriginError("gone", cause="404", next="wait"))
    text = f"Downloading…\n{EVENT.to_json()}\n{{not json\n{reported(failed)}".encode()
    for cut in range(len(text)):
        output, events = heard((text[:cut], None), (text[cut:], None))
        assert events == [EVENT]
        assert output.tail == ("Downloading…", "{not json")
        assert output.report is not None
        assert output.report.to_json() == RunReport((failed,)).to_json()


def test_a_last_line_without_newline_counts() -> None:
    output, _ = heard((reported(result("timm/a")).rstrip("\n").encode(), None), (None, b"bye"))
    assert output.report is not None
    assert output.tail == ("bye",)


def test_stderr_is_kept_and_never_taken_for_an_event() -> None:
    output, events = heard((None, f"{EVENT.to_json()}\n".encode()))
    assert events == []
    assert output.tail == (EVENT.to_json(),)


@pytest.mark.parametrize(
    "line",
    [
        '{"some": "json"}',
        '{"weightdock": 1}',
        '{"weightdock": 1, "event": "started", "model": "no slash", "stage": "upload"}',
        '{"weightdock": 1, "event": "report", "results": 3}',
        json.dumps({"weightdock": 1, "event": "report", "results": [UNREADABLE_ROW]}),
        json.dumps({**json.loads(EVENT.to_json()), "event": "sneezed"}),
        json.dumps({**json.loads(EVENT.to_json()), "model": "timm/../../etc"}),
        "{" + '"a":{' * 100_000,
    ],
)
def test_a_line_that_only_looks_like_one_of_ours_is_kept_with_the_rest(line: str) -> None:
    output, events = heard((f"{line}\n".encode(), None))
    assert (events, output.report) == ([], None)
    assert output.tail == (line[:2000],)


def test_another_version_of_the_event_lines_is_noticed_and_not_read() -> None:
    output, events = heard((json.dumps({**json.loads(EVENT.to_json()), "weightdock": 2}).encode(), None))
    assert (output.foreign_schema, events) == (2, [])


def test_only_the_last_fifty_lines_are_kept() -> None:
    output, _ = heard((b"".join(b"%d\n" % n for n in range(200)), None))
    assert output.tail == tuple(str(n) for n in range(150, 200))


def test_of_a_progress_bar_that_rewrites_its_line_only_the_end_is_kept_and_empty_lines_are_not() -> None:
    output, _ = heard((None, b"1%\r50%\r100%\r\n\n  \nnext\r\n"))
    assert output.tail == ("100%", "next")


def test_what_a_container_prints_cannot_drive_the_terminal() -> None:
    output, _ = heard((None, b"\x1b]0;title\x07 \x1b[2J tab\there \xff\n"))
    assert output.tail == ("\ufffd]0;title\ufffd \ufffd[2J tab\there \ufffd",)


def test_a_line_that_never_ends_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_LONGEST_LINE", 1000)
    lines = stream.Lines()
    pieces = [piece for _ in range(100) for piece in lines.feed(b"x" * 100)]
    assert max(map(len, pieces)) <= 1100
    assert sum(map(len, [*pieces, *lines.finish()])) == 10_000
