from __future__ import annotations

from dataclasses import replace

import pytest

from support.driver_fakes import job, result
from weightdock import report
from weightdock.errors import (
    ConfigurationError,
    EngineError,
    ExitCode,
    IntegrityError,
    OriginError,
    StoreError,
    WeightdockError,
)
from weightdock.report import Outcome, RunReport
from weightdock_driver import verdict
from weightdock_driver.verdict import Ended, Exit

JOB = job("timm", "a", "b")
SAID = ("Importing…", "error: the store refused the key", "cause: SignatureDoesNotMatch", "next: check the secret")


def test_a_containers_own_report_counts_whatever_its_exit_status() -> None:
    own = RunReport((result("timm/a"),))
    assert verdict.report_of(JOB, Ended(Exit(139), report=own)) is own
    assert verdict.last_words(JOB, Ended(Exit(139), report=own, tail=("a warning",))) == ""


@pytest.mark.whole_reports
def test_a_model_that_a_report_lacks_has_failed_because_its_image_is_older_than_the_catalogue() -> None:
    made = verdict.report_of(JOB, Ended(Exit(0), report=RunReport((result("timm/a"),))))
    assert [(str(one.model), one.outcome) for one in made.results] == [
        ("timm/a", Outcome.UPLOADED),
        ("timm/b", Outcome.FAILED),
    ]
    error = made.results[1].error
    assert isinstance(error, EngineError)
    assert error.next == "make images"


@pytest.mark.parametrize(
    "what",
    ["unknown model 'timm/b'", "another catalogue is here than where …", "No such option: --catalogue"],
)
def test_an_image_with_another_catalogue_is_said_to_be_older(what: str) -> None:
    tail = (f"error: {what}", "cause: its own", "next: its own")
    made = verdict.report_of(JOB, Ended(Exit(2), tail=tail))
    assert made.exit_code == ExitCode.ENGINE
    assert {(one.error.what, one.error.next) for one in made.results if one.error} == {
        ("weightdock/timm-uploader:latest has another catalogue than this driver", "make images")
    }


def test_an_older_image_of_another_tag_is_not_what_make_images_makes() -> None:
    old = replace(JOB, spec=replace(JOB.spec, image="weightdock/timm-uploader:last-week"))
    [first, *_] = verdict.report_of(old, Ended(Exit(0), foreign_schema=2)).results
    assert first.error is not None
    assert first.error.next == "make images, and leave --tag out"


def test_without_a_report_every_model_of_the_container_failed_with_an_error_that_names_image_and_status() -> None:
    made = verdict.report_of(JOB, Ended(Exit(7), tail=("Segmentation fault",)))
    assert [(str(one.model), one.key, one.outcome) for one in made.results] == [
        ("timm/a", "models/pretrained/timm/a.pth", Outcome.FAILED),
        ("timm/b", "models/pretrained/timm/b.pth", Outcome.FAILED),
    ]
    assert made.exit_code == ExitCode.ENGINE
    error = made.results[0].error
    assert isinstance(error, EngineError)
    assert error.what == "weightdock/timm-uploader:latest ended without a report, with exit status 7"


def test_even_exit_status_0_without_a_report_is_a_failure() -> None:
    assert verdict.report_of(JOB, Ended(Exit(0))).exit_code == ExitCode.ENGINE


@pytest.mark.parametrize(
    ("ended", "cause", "next"),
    [
        (Ended(Exit(137, out_of_memory=True)), "lack of memory, of which it may have 1g", "WEIGHTDOCK_MEMORY"),
        (Ended(Exit(137)), "SIGKILL", "again"),
        (Ended(Exit(0), foreign_schema=2), "speaks version 2", "make images"),
        (Ended(Exit(1)), "it printed nothing", "again"),
        (Ended(Exit(1), tail=("boom",)), "last lines", "again"),
    ],
)
def test_the_error_says_what_is_known_of_the_end(ended: Ended, cause: str, next: str) -> None:
    error = verdict.report_of(JOB, ended).results[0].error
    assert error is not None
    assert cause in error.cause
    assert next in error.next


def test_the_last_lines_of_a_container_in_which_a_model_failed_are_shown_too() -> None:
    failed = RunReport((result("timm/a", OriginError("the loader ended", cause="status 1", next="see above")),))
    assert verdict.last_words(JOB, Ended(Exit(3), failed, ("Traceback…",))).endswith("\n  Traceback…")


def test_the_last_lines_of_a_container_without_a_report_are_shown_under_its_name() -> None:
    assert verdict.last_words(JOB, Ended(Exit(7), tail=("one", "two"))) == (
        "last lines of weightdock/timm-uploader:latest (weightdock-timm-01234567):\n  one\n  two"
    )


def test_an_error_that_ended_a_container_before_its_report_stays_that_error() -> None:
    ended = Ended(Exit(5), tail=SAID)
    made = verdict.report_of(JOB, ended)
    error = made.results[0].error
    assert isinstance(error, StoreError)
    assert (error.what, error.cause, error.next) == (
        "the store refused the key",
        "SignatureDoesNotMatch",
        "check the secret",
    )
    assert made.exit_code == ExitCode.STORE
    assert verdict.last_words(JOB, ended) == ""


def test_of_several_errors_the_last_counts_and_each_part_may_have_several_lines() -> None:
    said = ConfigurationError("one\nmore", cause="why\nnext: rm -rf /\nerror: why", next="do")
    error = verdict.said(Ended(Exit(2), tail=(*SAID, *str(said).splitlines())))
    assert error is not None
    assert (error.what, error.cause, error.next) == ("one\nmore", "why\nnext: rm -rf /\nerror: why", "do")


@pytest.mark.parametrize(
    "ended",
    [
        Ended(Exit(0), tail=SAID),
        Ended(Exit(137), tail=SAID),
        Ended(Exit(5), tail=SAID[:3]),
        Ended(Exit(5), tail=("cause: x", "next: y", "error: z")),
    ],
)
def test_what_is_no_error_message_of_ours_with_an_exit_code_of_ours_is_not_taken_for_one(ended: Ended) -> None:
    assert verdict.said(ended) is None


def test_a_container_that_the_engine_lost_failed_with_the_engines_error() -> None:
    lost = EngineError("lost the engine", cause="gone", next="start it")
    assert {one.error for one in verdict.report_of(JOB, Ended(lost=lost)).results} == {lost}


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((None, None), ExitCode.DONE),
        ((OriginError, None), ExitCode.ORIGIN),
        ((OriginError, IntegrityError), ExitCode.INTEGRITY),
        ((EngineError, IntegrityError), ExitCode.ENGINE),
    ],
)
def test_the_worst_of_all_containers_is_the_exit_code_of_the_run(
    errors: tuple[type[WeightdockError] | None, ...], code: ExitCode
) -> None:
    ends = [
        Ended(report=RunReport((result("timm/a", kind("x", cause="y", next="z") if kind else None),)))
        for kind in errors
    ]
    assert report.merge(verdict.report_of(JOB, end) for end in ends).exit_code == code
