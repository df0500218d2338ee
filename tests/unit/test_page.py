"""The status page as text: what it says, what it escapes, and which files it reads and writes."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from support.pages import COMPLETE, DIFFERING, MISSING, NOW, RUN, UNLISTED, statuses
from weightdock.errors import ConfigurationError
from weightdock.report import RunReport
from weightdock.upkeep.page import State, dollars_a_month, read_run, render, state, write

HOSTILE = "<script>alert(1)</script>'\"&$summary"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (COMPLETE, State.COMPLETE),
        (replace(COMPLETE, in_cache=False, locked=False), State.COMPLETE),
        (DIFFERING, State.DIFFERS),
        (replace(DIFFERING, in_store=False), State.DIFFERS),
        (MISSING, State.MISSING),
        (replace(COMPLETE, in_store=False), State.MISSING),
        (UNLISTED, State.UNLISTED),
    ],
)
def test_a_models_state_is_what_an_upload_would_find(status: object, expected: State) -> None:
    assert state(status) is expected  # type: ignore[arg-type]


def test_a_terabyte_costs_fifteen_dollars_a_month() -> None:
    assert dollars_a_month(10**12) == pytest.approx(15.0)


def test_what_comes_from_a_bucket_is_escaped() -> None:
    hostile = replace(DIFFERING, licence=HOSTILE, description=HOSTILE, task=HOSTILE, differs=HOSTILE, model=HOSTILE)
    page = render([hostile], NOW)
    assert page.count("<script>") == 1
    assert page.count(html.escape(HOSTILE)) >= 5
    assert HOSTILE not in page


def test_the_pages_policy_allows_no_request_and_no_script_but_its_own() -> None:
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', render([], NOW))
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; script-src 'sha256-[\w+/]{43}='; img-src data:", policy
    )


def test_a_page_without_a_run_has_no_chart() -> None:
    assert "<svg" not in render(statuses(), NOW)
    assert "Last run" not in render(statuses(), NOW)


def test_a_run_in_which_nothing_took_time_is_told_and_not_charted() -> None:
    page = render(statuses(), NOW, RunReport(tuple(one._replace(seconds=0.0, error=None) for one in RUN.results)))
    assert "Last run" in page
    assert "<svg" not in page


def test_of_a_large_run_the_slowest_twenty_are_charted_and_it_says_so() -> None:
    many = RunReport(tuple(RUN.results[0]._replace(seconds=float(number)) for number in range(1, 101)))
    page = render([], NOW, many)
    assert page.count("<rect ") == 20
    assert "The slowest 20 of 100." in page
    assert ">100.0 s, uploaded<" in page
    assert ">80.0 s, uploaded<" not in page


def test_a_model_of_the_future_is_not_older_than_nothing() -> None:
    page = render([replace(COMPLETE, uploaded=(NOW + timedelta(days=9)).isoformat())], NOW)
    assert '<td class="age" data-value="0">0 min</td>' in page


@pytest.mark.parametrize("before", ["", '{"weightdock": 1, "event": "started"}\n'], ids=["--json", "--events"])
def test_the_report_of_a_run_is_the_last_line_of_what_it_wrote(tmp_path: Path, before: str) -> None:
    saved = tmp_path / "run.json"
    saved.write_text(f"{before}{RUN.to_json()}\n", encoding="utf-8")
    assert [(one.model, one.seconds) for one in read_run(saved).results] == [
        (one.model, one.seconds) for one in RUN.results
    ]


_ODD_RUNS = (
    b'{"results": [], "operations": {"class_a": "x", "class_b": 1}}',
    b'{"results": [], "operations": {"class_a": 1%s, "class_b": 1}}' % (b"0" * 400),
)


@pytest.mark.parametrize(
    "content", [*_ODD_RUNS, None, b"", b"\n", b"{}", b"[]", b"\xff", b'{"results": [1]}', b"[" * 100_000]
)
def test_a_file_that_is_no_report_is_a_usage_error_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    saved = tmp_path / "run.json"
    if content is not None:
        saved.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        read_run(saved)
    assert refused.value.what == f"{saved} is no report of a run"


def test_half_a_character_from_a_manifest_does_not_keep_the_page_from_being_written(tmp_path: Path) -> None:
    write(tmp_path / "page.html", render([replace(COMPLETE, licence="half \ud800")], NOW))
    assert "half ?" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(tmp_path / "nowhere" / "page.html", "")


def test_the_page_says_when_it_was_written() -> None:
    assert "Written 2026-11-25 14:00 UTC" in render([], datetime.fromisoformat("2026-11-25T14:00:59+00:00"))
