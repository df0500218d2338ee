"""R2 on its bad days: what is refused or lost on the way is asked again, and done once."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from support.errand import MODELS, SIZES, Errand
from support.r2_bench import KEY, QUICK, Bench
from support.r2_double import (
    INTERNAL_ERROR,
    SLOW_DOWN,
    TOO_MANY_REQUESTS,
    Call,
    DropAnswer,
    Moment,
    R2Double,
    Refuse,
    ResetAnswer,
    ResetRequest,
    Silence,
    Truncate,
    When,
)
from support.r2_double.fault import Fault
from support.samples import PREFIX, TOY
from support.servers import Server
from support.upload_requests import REQUESTS
from support.upload_scene import Scene
from weightdock.errors import ExitCode
from weightdock.report import Outcome
from weightdock.store import endpoint, manifest, pace
from weightdock.store.pace import Pace

pytestmark = pytest.mark.usefixtures("small_thresholds")

REFUSALS: dict[str, Fault] = {
    "500": INTERNAL_ERROR,
    "503": SLOW_DOWN,
    "429": TOO_MANY_REQUESTS,
    "BadDigest": Refuse(400, "BadDigest", "The Content-MD5 you specified did not match what we received."),
    "a reset": ResetRequest(0),
}

LOST: dict[str, Fault] = {
    "500, though it was done": Refuse(500, "InternalError", "oops", moment=Moment.AFTER),
    "a reset, though it was done": DropAnswer(),
    "an answer that breaks off": Truncate(20),
}
"""After these the store has done what it was asked, and the uploader does not know."""


@pytest.fixture
def errand(quick_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(quick_r2, tmp_path, MODELS).with_an_earlier_model())


@pytest.fixture
def either_errand(either_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(either_r2, tmp_path, MODELS).with_an_earlier_model())


def _commits(errand: Errand) -> dict[str, int]:
    """How often each model was written, as far as the uploader heard of it."""
    writes = {name: errand.scene.requests(name, "PutObject", "CompleteMultipartUpload") for name in MODELS}
    return {name: sum(one.status == 200 for one in entries) for name, entries in writes.items()}


def _orphans(errand: Errand) -> int:
    return sum(len(uploads) for uploads in errand.scene.parts().values())


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("asked", REQUESTS)
def test_what_is_refused_once_is_asked_again(errand: Errand, asked: str, fault: str) -> None:
    struck = errand.scene.bench.double.inject(REFUSALS[fault], REQUESTS[asked])
    report = errand.upload()
    assert [(one.outcome, one.error) for one in report.results] == [(Outcome.UPLOADED, None)] * 2
    assert struck.struck == 1
    errand.scene.assert_whole()
    assert _commits(errand) == {"small": 1, "large": 1}
    assert _orphans(errand) == 0


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("asked", REQUESTS)
def test_what_was_done_without_an_answer_is_not_done_twice(errand: Errand, asked: str, fault: str) -> None:
    struck = errand.scene.bench.double.inject(LOST[fault], REQUESTS[asked])
    report = errand.upload()
    assert [one.error for one in report.results] == [None, None]
    assert struck.struck == 1
    errand.scene.assert_whole()
    assert max(_commits(errand).values()) == 1
    # Of an upload whose id was lost nobody knows; `prune --uploads` finds it.
    assert _orphans(errand) == (asked == "an upload is begun")


@pytest.mark.parametrize("fault", [Truncate(20), ResetAnswer(20)], ids=str)
def test_a_refusal_that_breaks_off_is_asked_for_again(quick_r2: Bench, tmp_path: Path, fault: Fault) -> None:
    struck = quick_r2.double.inject(fault, When("GetObject", key="manifest.json"))  # there is none: a 404 with a body
    errand = Errand(Scene(quick_r2, tmp_path, MODELS))
    assert errand.upload().exit_code == 0
    assert struck.struck == 1
    errand.scene.assert_whole()


@pytest.mark.parametrize("asked", ["a small object is put", "a part is sent", "an upload is completed"])
def test_over_https_too_what_was_done_without_an_answer_is_not_done_twice(either_errand: Errand, asked: str) -> None:
    either_errand.scene.bench.double.inject(DropAnswer(), REQUESTS[asked])
    assert either_errand.upload().exit_code == 0
    either_errand.scene.assert_whole()


@pytest.mark.parametrize(
    "fault", [INTERNAL_ERROR, ResetRequest(100), DropAnswer()], ids=lambda fault: type(fault).__name__
)
@pytest.mark.parametrize("asked", ["a small object is put", "a part is sent", "an upload is completed"])
def test_before_rclone_too_what_goes_wrong_once_is_asked_again(
    rclone: Server, tmp_path: Path, asked: str, fault: Fault
) -> None:
    with R2Double(rclone.url, [KEY], QUICK) as double:
        errand = Errand(Scene(Bench.of(double, rclone), tmp_path, MODELS).with_an_earlier_model())
        double.inject(fault, REQUESTS[asked])
        assert errand.upload().exit_code == 0
        errand.scene.assert_whole()


@pytest.mark.parametrize("asked", ["a small object is put", "a part is sent", "the manifest is written"])
@pytest.mark.parametrize("after_bytes", [1, 300])
def test_a_body_that_broke_off_is_sent_again(errand: Errand, asked: str, after_bytes: int) -> None:
    errand.scene.bench.double.inject(ResetRequest(after_bytes), REQUESTS[asked])
    assert errand.upload().exit_code == 0
    errand.scene.assert_whole()


@pytest.mark.parametrize("asked", list(REQUESTS))
def test_a_request_that_is_never_answered_is_made_again(
    errand: Errand, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "READ_SECONDS", 0.4)
    assert errand.store.objects("nothing/") == {}  # an endpoint that never answered at all is not waited for again
    errand.scene.bench.double.inject(Silence(), REQUESTS[asked])
    assert errand.upload().exit_code == 0
    errand.scene.assert_whole()


def test_one_refusal_slows_all_workers_down_together_and_they_get_fast_again(quick_r2: Bench, tmp_path: Path) -> None:
    sleepers: set[str] = set()
    limits: list[int] = []

    def sleep(seconds: float) -> None:
        sleepers.add(threading.current_thread().name)
        time.sleep(seconds)

    errand = Errand(Scene(quick_r2, tmp_path, {"large": 800_000}), Pace(8, sleep))
    quick_r2.double.inject(Call(function=lambda: limits.append(errand.pace.limit)), When("UploadPart", times=None))
    burst = quick_r2.double.inject(SLOW_DOWN, When("UploadPart", nth=40))
    assert errand.upload().exit_code == 0
    assert burst.struck == 1
    assert set(limits[:30]) == {8}
    assert min(limits[40:]) <= 5  # half, and perhaps one more, for those that were under way and went well
    assert limits[-1] == 8
    assert len(sleepers) > 2, "they did not wait together"
    refused, again = [one for one in errand.scene.requests("large", "UploadPart") if one.part == _struck(errand)]
    assert refused.ended is not None
    assert again.began - refused.ended > pace.FIRST_PAUSE_SECONDS / 3
    errand.scene.assert_whole()


def _struck(errand: Errand) -> int | None:
    """The part that was refused."""
    return next(one.part for one in errand.scene.requests("large", "UploadPart") if one.status == 503)


def test_a_store_that_goes_on_refusing_is_an_error_when_the_retries_of_a_run_are_used_up(
    errand: Errand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BUDGET", 10)
    double = errand.scene.bench.double
    double.inject(SLOW_DOWN, When("UploadPart", times=None))
    report = errand.upload()
    assert report.exit_code is ExitCode.STORE
    assert {one.model.name: one.outcome for one in report.results} == {
        "small": Outcome.UPLOADED,
        "large": Outcome.FAILED,
    }
    error = report.results[1].error
    assert error
    assert error.next == "run again; what was finished is not repeated"
    assert len(errand.scene.requests("large", "UploadPart")) <= 10 + 2 + 4
    assert errand.scene.visible() == {"small"}
    double.injections.clear()
    double.record.clear()
    again = replace(errand)
    assert [one.outcome for one in again.upload().results] == [Outcome.PRESENT, Outcome.UPLOADED]
    assert errand.scene.requests("large", "CreateMultipartUpload") == []
    errand.scene.assert_whole()


def test_an_upload_that_cannot_be_remembered_fails_alone(errand: Errand) -> None:
    assert errand.upload("small").exit_code == 0
    cache = errand.scene.folder / errand.scene.id / "uploader"
    (cache / ".uploads").write_text("in the way")
    report = Errand(replace(errand.scene, models={**MODELS, "other": 500})).upload()
    assert [one.outcome for one in report.results] == [Outcome.PRESENT, Outcome.FAILED, Outcome.UPLOADED]
    assert report.exit_code is ExitCode.STORE
    assert manifest.read(errand.store, PREFIX, TOY).entries.keys() == {"earlier", "small", "other"}


@SIZES
def test_a_file_that_is_gone_when_it_is_to_be_sent_fails_alone(quick_r2: Bench, tmp_path: Path, name: str) -> None:
    errand = Errand(Scene(quick_r2, tmp_path, {"small": 9_000, "large": 135_000}))
    cached = tmp_path / errand.scene.id / "uploader" / "toy" / f"{name}.bin"
    first = When("PutObject", key="small.bin") if name == "small" else When("UploadPart")
    quick_r2.double.inject(Call(function=cached.unlink, cut=True), first)
    report = errand.upload()
    assert [one.outcome for one in report.results if one.model.name == name] == [Outcome.FAILED]
    assert [one.outcome for one in report.results if one.model.name != name] == [Outcome.UPLOADED]
    assert report.exit_code is ExitCode.STORE
    assert manifest.read(errand.store, PREFIX, TOY).entries.keys() == {*MODELS} - {name}
