"""R2 on its bad days: what is refused, lost, broken off or changed on the way is asked again, and never believed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
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
    FlipByte,
    Moment,
    R2Double,
    Refuse,
    ResetAnswer,
    ResetRequest,
    Silence,
    Truncate,
    When,
)
from support.r2_double.fault import Connection, Fault
from support.samples import PREFIX, TOY, key_of, tree
from support.servers import Server
from support.upload_scene import Scene
from weightdock.errors import ExitCode, WeightdockError
from weightdock.report import Outcome
from weightdock.store import connections, manifest, pace
from weightdock.store.pace import Pace

SEED = 20261122
pytestmark = pytest.mark.usefixtures("small_thresholds")


@dataclass(frozen=True)
class FlipSent(Fault):
    """One wrong byte in what the client sends."""

    at: int = 0

    def body(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        return FlipByte(self.at).answer(chunks, connection)


@dataclass(frozen=True)
class FlipAnswer(Fault):
    """The bits of ``mask`` in one byte of an answer; of a shorter one, in the byte that the number leads to."""

    at: int
    mask: int

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        whole = bytearray(b"".join(chunks))
        whole[self.at % len(whole)] ^= self.mask
        yield bytes(whole)


@dataclass(frozen=True)
class Reword(Fault):
    """Other words in an answer, as long as the right ones."""

    right: bytes
    wrong: bytes

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        yield b"".join(chunks).replace(self.right, self.wrong)


REQUESTS = {
    "the manifest is read": When("GetObject", key="manifest.json"),
    "the store is listed": When("ListObjects"),
    "a small object is put": When("PutObject", key="small.bin"),
    "an upload is begun": When("CreateMultipartUpload"),
    "a part is sent": When("UploadPart", part=2),
    "an upload is completed": When("CompleteMultipartUpload"),
    "the manifest is read again": When("GetObject", key="manifest.json", nth=2),
    "the manifest is written": When("PutObject", key="manifest.json"),
}
ANSWERS = {
    "the store is listed": When("ListObjects"),
    "an upload is begun": When("CreateMultipartUpload"),
    "an upload is completed": When("CompleteMultipartUpload"),
    "parts are listed": When("ListParts"),
}
FLIPS = 6
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


@pytest.mark.parametrize("asked", ["a small object is put", "a part is sent", "the manifest is written"])
def test_a_body_that_was_damaged_on_the_way_is_sent_again(either_errand: Errand, asked: str) -> None:
    either_errand.scene.bench.double.inject(FlipSent(300), REQUESTS[asked])
    report = either_errand.upload()
    assert [one.error for one in report.results] == [None, None]
    either_errand.scene.assert_whole()


@pytest.mark.parametrize("asked", list(REQUESTS))
def test_a_request_that_is_never_answered_is_made_again(
    errand: Errand, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.4)
    assert errand.store.objects("nothing/") == {}  # an endpoint that never answered at all is not waited for again
    errand.scene.bench.double.inject(Silence(), REQUESTS[asked])
    assert errand.upload().exit_code == 0
    errand.scene.assert_whole()


@SIZES
@pytest.mark.parametrize("fault", [Truncate(0), Truncate(8_000), ResetAnswer(8_000)], ids=str)
def test_an_object_whose_answer_breaks_off_is_read_again_from_the_beginning(
    either_errand: Errand, name: str, fault: Fault
) -> None:
    either_errand.upload()
    struck = either_errand.scene.bench.double.inject(fault, When("GetObject", key=f"{name}.bin", times=2))
    report = either_errand.fetch()
    assert [one.outcome for one in report.results] == [Outcome.FETCHED] * 2
    assert struck.struck == 2
    node = either_errand.node
    assert (node / f"toy/{name}.bin").read_bytes() == either_errand.loader.files[name]


@SIZES
def test_an_object_that_was_damaged_on_the_way_is_refused(either_errand: Errand, name: str) -> None:
    either_errand.upload()
    either_errand.scene.bench.double.inject(FlipByte(5_000), When("GetObject", key=f"{name}.bin", times=None))
    report = either_errand.fetch()
    assert report.exit_code is ExitCode.INTEGRITY
    assert [one.outcome for one in report.results if one.model.name == name] == [Outcome.FAILED]
    kept = [path for path in tree(either_errand.node) if name in path and not path.startswith(".locks/")]
    assert not kept, "something of it was kept"


def test_an_object_that_must_be_read_to_be_known_is_not_believed_when_it_was_damaged_on_the_way(errand: Errand) -> None:
    bench = errand.scene.bench
    bench.behind.client().put_object(Bucket=bench.bucket, Key=key_of("large"), Body=errand.loader.files["large"])
    bench.double.inject(FlipByte(30_000), When("GetObject", key="large.bin"))
    assert errand.upload("large").exit_code is ExitCode.INTEGRITY
    assert "large" not in manifest.read(errand.store, PREFIX, TOY).entries
    assert [one.outcome for one in errand.upload("large").results] == [Outcome.ADOPTED]


@pytest.mark.parametrize("nth", [1, 2], ids=["to plan", "to publish"])
def test_a_manifest_that_was_changed_on_the_way_is_not_believed_and_not_written_back(errand: Errand, nth: int) -> None:
    right = manifest.read(errand.store, PREFIX, TOY).entries["earlier"].sha256.hex.encode()
    wrong = bytes(reversed(right))
    struck = errand.scene.bench.double.inject(Reword(right, wrong), When("GetObject", key="manifest.json", nth=nth))
    assert errand.upload().exit_code == 0
    assert struck.struck == 1
    errand.scene.assert_whole()


@pytest.mark.parametrize("mask", [0xFF, 0x01], ids=["to nonsense", "to something alike"])
@pytest.mark.parametrize("asked", list(ANSWERS))
def test_an_answer_of_which_a_byte_was_changed_leads_to_nothing_untrue(errand: Errand, asked: str, mask: int) -> None:
    chance, double = random.Random(f"{SEED} {asked}"), errand.scene.bench.double
    for at in chance.sample(range(600), FLIPS):
        one = errand.again()
        if asked == "parts are listed":
            _interrupted(one)
        struck = double.inject(FlipAnswer(at, mask), ANSWERS[asked])
        with suppress(WeightdockError):
            one.upload("large")
        assert struck.struck == 1
        double.injections.clear()
        one.scene.visible()
        assert one.upload().exit_code == 0
        one.scene.assert_whole()


def _interrupted(errand: Errand) -> None:
    """An upload of which two parts are there."""
    double = errand.scene.bench.double
    double.inject(Call(function=lambda: double.set_key(replace(KEY, read_only=True))), When("UploadPart", nth=3))
    assert errand.upload("large").exit_code is ExitCode.STORE
    double.set_key(KEY)


def test_one_refusal_slows_all_workers_down_together_and_they_get_fast_again(quick_r2: Bench, tmp_path: Path) -> None:
    sleepers: set[str] = set()
    limits: list[int] = []

    def sleep(seconds: float) -> None:
        sleepers.add(threading.current_thread().name)
        time.sleep(seconds)

    errand = Errand(Scene(quick_r2, tmp_path, {"large": 800_000}), Pace(sleep=sleep))
    quick_r2.double.inject(Call(function=lambda: limits.append(errand.pace.limit)), When("UploadPart", times=None))
    burst = quick_r2.double.inject(SLOW_DOWN, When("UploadPart", nth=40))
    assert errand.upload().exit_code == 0
    assert burst.struck == 1
    assert limits[0] == 4
    assert max(limits[:40]) == 8
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
