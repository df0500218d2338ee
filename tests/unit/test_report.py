"""The report: the table that people read, the line that machines read, and the exit code."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.samples import rows
from weightdock import report
from weightdock.artifact import Digest, Framework, ModelId
from weightdock.errors import (
    ConfigurationError,
    EngineError,
    ExitCode,
    IntegrityError,
    OriginError,
    StoreError,
    WeightdockError,
    of_kind,
)
from weightdock.report import ModelResult, Outcome, RunReport

ERRORS: list[type[WeightdockError]] = [
    WeightdockError,
    ConfigurationError,
    OriginError,
    IntegrityError,
    StoreError,
    EngineError,
]
SHA256 = Digest("0123456789abcdef" * 4)
GONE = OriginError("the origin did not give ultralytics/sam2_t", cause="404", next="run again")


def _key(name: str) -> str:
    return f"models/pretrained/{name}"


MIXED = RunReport(
    (
        ModelResult(
            ModelId.parse("timm/convnext_tiny"),
            _key("timm/convnext_tiny.pth"),
            Outcome.UPLOADED,
            114_374_272,
            SHA256,
            "huggingface.co",
            12.345,
        ),
        ModelResult(
            ModelId.parse("ultralytics/yolo11n"), _key("ultralytics/yolo11n.pt"), Outcome.PRESENT, 5_613_764, SHA256
        ),
        ModelResult(
            ModelId.parse("ultralytics/sam2_t"), _key("ultralytics/sam2_t.pt"), Outcome.FAILED, seconds=0.04, error=GONE
        ),
    )
)
PLAN = RunReport(
    (
        ModelResult(ModelId.parse("timm/convnext_tiny"), _key("timm/convnext_tiny.pth"), Outcome.PLANNED),
        ModelResult(
            ModelId.parse("ultralytics/yolo11n"),
            _key("ultralytics/yolo11n.pt"),
            Outcome.PRESENT,
            5_613_764,
            SHA256,
            licence="AGPL-3.0",
            warning="its licence is AGPL-3.0",
        ),
    )
)

TEXTS = st.text(max_size=30)
RESULTS = st.builds(
    ModelResult,
    model=st.builds(
        ModelId,
        st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).map(Framework),
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
    ),
    key=TEXTS,
    outcome=st.sampled_from(Outcome),
    size_bytes=st.none() | st.integers(min_value=0),
    sha256=st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(Digest),
    source=TEXTS,
    seconds=st.integers(min_value=0, max_value=10**9).map(lambda thousandths: thousandths / 1000),
    error=st.none()
    | st.builds(
        lambda kind, what, cause, next_: kind(what, cause=cause, next=next_),
        st.sampled_from(ERRORS),
        TEXTS,
        TEXTS,
        TEXTS,
    ),
    licence=TEXTS,
    warning=TEXTS,
)
REPORTS = st.builds(RunReport, st.lists(RESULTS, max_size=5).map(tuple))


def _failed(kind: type[WeightdockError]) -> ModelResult:
    error = kind("what", cause="cause", next="next")
    return ModelResult(ModelId.parse("timm/a"), "key", Outcome.FAILED, error=error)


def test_a_run_reads_as_this_table() -> None:
    assert report.table(MIXED) == (
        "MODEL                RESULT                    SIZE  SHA256        FROM            SECONDS\n"
        "timm/convnext_tiny   uploaded              114.4 MB  0123456789ab  huggingface.co     12.3\n"
        "ultralytics/yolo11n  Already exists in R2    5.6 MB  0123456789ab  -                     -\n"
        "ultralytics/sam2_t   failed                       -  -             -                   0.0\n"
        "\n"
        "ultralytics/sam2_t\n"
        "error: the origin did not give ultralytics/sam2_t\n"
        "cause: 404\n"
        "next: run again\n"
        "\n"
        "3 models: 1 uploaded, 1 Already exists in R2, 1 failed · 120.0 MB"
    )


def test_what_somebody_else_wrote_does_not_drive_the_terminal() -> None:
    name = ModelId.parse("timm/a")
    error = IntegrityError("a\x1b[2J", cause="b\x9b\nc\td", next="e\u202e")
    rows = (
        ModelResult(name, "k\x07", Outcome.FAILED, source="\x1b]0;\n", error=error, licence="\x1b(0", warning="\x08"),
    )
    for text in (report.table(RunReport(rows)), report.plan_table(RunReport(rows))):
        assert "b\N{REPLACEMENT CHARACTER}\n  c\td\nnext: e\N{REPLACEMENT CHARACTER}" in text
        assert [char for char in text if not char.isprintable() and char not in "\n\t"] == []


def test_a_dry_run_reads_as_this_table() -> None:
    assert report.plan_table(PLAN) == (
        "KEY                                       PLAN                    SIZE  SHA256        LICENCE\n"
        "models/pretrained/timm/convnext_tiny.pth  would upload               -  -             -\n"
        "models/pretrained/ultralytics/yolo11n.pt  Already exists in R2  5.6 MB  0123456789ab  AGPL-3.0\n"
        "\n"
        "warning: ultralytics/yolo11n: its licence is AGPL-3.0\n"
        "\n"
        "2 models: 1 would upload, 1 Already exists in R2 · 5.6 MB"
    )


def test_the_line_of_a_report_is_this_one() -> None:
    assert RunReport(MIXED.results[2:]).to_json() == (
        '{"weightdock": 1, "event": "report", "exit_code": 3, "results": [{"model": "ultralytics/sam2_t", '
        '"key": "models/pretrained/ultralytics/sam2_t.pt", "outcome": "failed", "size_bytes": null, "sha256": null, '
        '"source": "", "seconds": 0.04, "licence": "", "warning": "", "error": {"exit_code": 3, '
        '"what": "the origin did not give ultralytics/sam2_t", "cause": "404", "next": "run again"}}], '
        '"operations": null}'
    )


@given(REPORTS)
def test_a_report_reads_back_as_itself_from_one_line(given_report: RunReport) -> None:
    line = given_report.to_json()
    assert line.isprintable()
    read = report.from_json(json.loads(line))
    assert rows(read) == rows(given_report)
    assert [one.seconds for one in read.results] == [one.seconds for one in given_report.results]
    assert [type(one.error) for one in read.results] == [type(one.error) for one in given_report.results]
    assert read.exit_code == given_report.exit_code


@pytest.mark.parametrize(
    "changed",
    [
        {"model": None},
        {"model": "convnext_tiny"},
        {"outcome": "lost"},
        {"size_bytes": "many"},
        {"sha256": "abc"},
        {"sha256": 5},
        {"seconds": None},
        {"error": "no"},
        {"error": {"exit_code": 0, "what": "", "cause": "", "next": ""}},
        {"error": {"exit_code": 99, "what": "", "cause": "", "next": ""}},
        {"error": {"exit_code": 3}},
    ],
    ids=repr,
)
def test_a_line_that_is_no_report_is_refused_in_the_ways_that_its_readers_expect(changed: dict[str, object]) -> None:
    good = json.loads(MIXED.to_json())
    assert report.from_json(good)
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError, WeightdockError)):
        report.from_json({**good, "results": [good["results"][0] | changed]})


@pytest.mark.parametrize("results", [None, {}, "rows", [None], [[]]], ids=repr)
def test_results_that_are_no_rows_are_refused(results: object) -> None:
    with pytest.raises(TypeError):
        report.from_json({"results": results})


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert {kind: kind.exit_code for kind in ERRORS} == {
        WeightdockError: 1,
        ConfigurationError: 2,
        OriginError: 3,
        IntegrityError: 4,
        StoreError: 5,
        EngineError: 6,
    }
    assert [type(of_kind(kind.exit_code, "", cause="", next="")) for kind in ERRORS] == ERRORS


@pytest.mark.parametrize(
    "kinds", list(permutations(ERRORS, 2)), ids=lambda kinds: "+".join(kind.__name__ for kind in kinds)
)
def test_the_worst_error_of_a_run_is_its_exit_code(kinds: tuple[type[WeightdockError], ...]) -> None:
    results = (*map(_failed, kinds), MIXED.results[0])
    assert RunReport(results).exit_code == max(kind.exit_code for kind in kinds)


def test_a_run_without_errors_exits_with_zero() -> None:
    assert (PLAN.exit_code, RunReport(()).exit_code) == (ExitCode.DONE, ExitCode.DONE)


def test_merged_reports_keep_every_row_in_order_and_the_worst_exit_code() -> None:
    engine = RunReport((_failed(EngineError),))
    merged = report.merge([PLAN, MIXED, RunReport(()), engine])
    assert merged == RunReport(PLAN.results + MIXED.results + engine.results)
    assert merged.exit_code is ExitCode.ENGINE
    assert report.merge([]) == RunReport(())


@pytest.mark.parametrize(
    ("results", "totals"),
    [
        ((), "0 models: nothing to do"),
        (PLAN.results[:1], "1 model: 1 would upload"),
        (PLAN.results[1:], "1 model: 1 Already exists in R2 · 5.6 MB"),
        (PLAN.results * 2, "4 models: 2 would upload, 2 Already exists in R2 · 11.2 MB"),
    ],
)
def test_the_last_line_counts(results: tuple[ModelResult, ...], totals: str) -> None:
    assert report.totals(RunReport(results)) == totals


def test_an_empty_report_is_a_header_and_a_count() -> None:
    assert report.table(RunReport(())) == "MODEL  RESULT  SIZE  SHA256  FROM  SECONDS\n\n0 models: nothing to do"
