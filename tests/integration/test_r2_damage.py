"""R2 on its bad days: what was changed or cut short on the way is never believed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.errand import MODELS, SIZES, Errand
from support.r2_bench import KEY, Bench
from support.r2_double import (
    Call,
    FlipByte,
    ResetAnswer,
    Truncate,
    When,
)
from support.r2_double.fault import Connection, Fault
from support.samples import PREFIX, TOY, key_of, tree
from support.upload_requests import REQUESTS
from support.upload_scene import Scene
from weightdock.errors import ExitCode, WeightdockError
from weightdock.report import Outcome
from weightdock.store import manifest

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


ANSWERS = {
    "the store is listed": When("ListObjects"),
    "an upload is begun": When("CreateMultipartUpload"),
    "an upload is completed": When("CompleteMultipartUpload"),
    "parts are listed": When("ListParts"),
}

FLIPS = 6


@pytest.fixture
def errand(quick_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(quick_r2, tmp_path, MODELS).with_an_earlier_model())


@pytest.fixture
def either_errand(either_r2: Bench, tmp_path: Path) -> Errand:
    return Errand(Scene(either_r2, tmp_path, MODELS).with_an_earlier_model())


@pytest.mark.parametrize("asked", ["a small object is put", "a part is sent", "the manifest is written"])
def test_a_body_that_was_damaged_on_the_way_is_sent_again(either_errand: Errand, asked: str) -> None:
    either_errand.scene.bench.double.inject(FlipSent(300), REQUESTS[asked])
    report = either_errand.upload()
    assert [one.error for one in report.results] == [None, None]
    either_errand.scene.assert_whole()


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
