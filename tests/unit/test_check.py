"""Checking the store: by metadata or by every byte, what is as it should be and how each difference is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from unittest.mock import Mock

import pytest

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, Row, content, digest, entry, key_of, provenance, rows, spec
from weightdock.artifact import Digest, Framework, ModelId, ObjectKey
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ExitCode, IntegrityError, StoreError, WeightdockError
from weightdock.events import Event, Stage, State
from weightdock.report import Outcome, RunReport
from weightdock.store import StoredObject, manifest
from weightdock.store.manifest import manifest_key
from weightdock.upkeep.check import Check

ALPHA = spec("alpha")
KEY = ALPHA.key(PREFIX)
WEIGHTS, OTHERS = content("alpha"), content("alpha").swapcase()
SIZE = len(WEIGHTS)
MANIFEST = manifest_key(PREFIX, TOY)
REPLACES = (
    "nothing was overwritten; find out who changed what, then `weightdock-driver upload --force --model toy/alpha` "
    "or `make lock`"
)
LOCKED = Locked(ALPHA.model, "", provenance().url, "r1", SIZE, digest(WEIGHTS), "MIT", {"toy": "1.0"})


@dataclass
class Bench:
    """A store, and who hears of what is checked in it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    heard: list[Event] = field(default_factory=list)

    def fill(self, *names: str) -> None:
        """Put models there as an upload does, and forget that it asked."""
        for name in names:
            self.store.keep(key_of(name), content(name), digest(content(name)))
        manifest.publish(self.store, PREFIX, TOY, {name: entry(name) for name in names})
        self.store.requests.clear()

    def check(self, *specs: ModelSpec, deep: bool = False) -> RunReport:
        before = self.store.contents()
        report = Check(PREFIX, self.store, deep, self.heard.append).run(specs)
        assert self.store.contents() == before, "checking changes nothing"
        return report


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """With alpha in it."""
    bench.fill("alpha")
    return bench


def _verified(name: str, how: str) -> Row:
    return (f"toy/{name}", key_of(name), Outcome.VERIFIED, len(content(name)), digest(content(name)), how, "")


def _failed(error: WeightdockError, key: ObjectKey = KEY) -> Row:
    return (str(ALPHA.model), key, Outcome.FAILED, None, None, "", str(error))


def _differs(how: str) -> Row:
    cause = f"{KEY}: {how}"
    return _failed(IntegrityError("toy/alpha in the store is not what it should be", cause=cause, next=REPLACES))


def _missing(where: str, what: str, next: str = "make upload/toy") -> Row:
    cause = f"there is no {what} for {KEY}"
    return _failed(StoreError(f"toy/alpha is not in {where}", cause=cause, next=next))


BOTH = pytest.mark.parametrize("deep", [False, True], ids=["fast", "deep"])


def test_what_is_as_it_should_be_is_verified_by_its_metadata_without_reading_it(filled: Bench) -> None:
    report = filled.check(ALPHA)
    assert rows(report) == [_verified("alpha", "metadata")]
    assert report.exit_code is ExitCode.DONE
    assert filled.store.requests == [f"read_document {MANIFEST}", f"objects {PREFIX}/toy/", f"head {KEY}"]


def test_a_deep_check_reads_every_byte_and_believes_no_metadata(filled: Bench) -> None:
    assert rows(filled.check(ALPHA, deep=True)) == [_verified("alpha", "every byte")]
    assert filled.store.requests == [f"read_document {MANIFEST}", f"objects {PREFIX}/toy/", f"sha256_of {KEY}"]


@BOTH
def test_every_model_has_its_row_in_the_order_given(bench: Bench, deep: bool) -> None:
    names = [f"model-{number}" for number in range(20)]
    bench.fill(*names)
    how = "every byte" if deep else "metadata"
    report = bench.check(*map(spec, reversed(names)), deep=deep)
    assert rows(report) == [_verified(name, how) for name in reversed(names)]
    assert len(bench.store.requests) == 2 + len(names)


@BOTH
def test_only_the_models_that_are_asked_for_are_checked(bench: Bench, deep: bool) -> None:
    bench.fill("alpha", "beta")
    bench.store.keep(key_of("beta"), b"damaged")
    assert bench.check(ALPHA, deep=deep).exit_code is ExitCode.DONE
    assert not [request for request in bench.store.requests if "beta" in request]


def test_an_object_without_metadata_is_compared_by_size_and_the_report_says_so(filled: Bench) -> None:
    # As a server leaves it that does not keep metadata, or somebody who copied it by hand.
    filled.store.keep(KEY, WEIGHTS, None)
    report = filled.check(ALPHA)
    assert rows(report) == [_verified("alpha", "size only")]
    assert [row.warning for row in report.results] == [
        "the object carries no digest of its own; `verify --deep` (make: DEEP=1) reads it"
    ]
    read = filled.check(ALPHA, deep=True)
    assert rows(read) == [_verified("alpha", "every byte")]
    assert [row.warning for row in read.results] == [""]


@BOTH
def test_an_object_of_another_size_differs_whatever_its_metadata_and_is_not_read(filled: Bench, deep: bool) -> None:
    filled.store.keep(KEY, WEIGHTS[:-1], digest(WEIGHTS))
    report = filled.check(ALPHA, deep=deep)
    assert rows(report) == [_differs(f"it has {SIZE - 1} bytes, and the manifest says {SIZE}")]
    assert report.exit_code is ExitCode.INTEGRITY
    assert len(filled.store.requests) == 2


@BOTH
def test_an_entry_with_another_extension_is_one_that_every_node_refuses(filled: Bench, deep: bool) -> None:
    other = replace(entry("alpha"), extension="so")
    manifest.publish(filled.store, PREFIX, TOY, {"alpha": other})
    filled.store.keep(other.key(PREFIX), content("alpha"))
    assert rows(filled.check(ALPHA, deep=deep)) == [_differs("the manifest names a file that ends in .so")]


def test_other_metadata_differs(filled: Bench) -> None:
    filled.store.keep(KEY, OTHERS, digest(OTHERS))
    report = filled.check(ALPHA)
    assert rows(report) == [_differs(f"it has sha256 {digest(OTHERS)}, and the manifest says {digest(WEIGHTS)}")]
    assert report.exit_code is ExitCode.INTEGRITY


def test_bytes_that_rotted_under_good_metadata_are_found_by_reading_alone(filled: Bench) -> None:
    filled.store.keep(KEY, OTHERS, digest(WEIGHTS))
    assert rows(filled.check(ALPHA)) == [_verified("alpha", "metadata")]
    report = filled.check(ALPHA, deep=True)
    assert rows(report) == [_differs(f"it has sha256 {digest(OTHERS)}, and the manifest says {digest(WEIGHTS)}")]
    assert report.exit_code is ExitCode.INTEGRITY


@BOTH
def test_a_model_that_is_nowhere_is_missing_in_the_manifest(bench: Bench, deep: bool) -> None:
    report = bench.check(ALPHA, deep=deep)
    elsewhere = "check WEIGHTDOCK_BUCKET and WEIGHTDOCK_PREFIX; if they are right: make upload/toy"
    assert rows(report) == [_missing("the manifest", "entry", elsewhere)]
    assert report.exit_code is ExitCode.STORE


@BOTH
def test_an_object_that_the_manifest_does_not_know_is_missing_there(bench: Bench, deep: bool) -> None:
    bench.store.keep(KEY, WEIGHTS, digest(WEIGHTS))
    assert rows(bench.check(ALPHA, deep=deep)) == [_missing("the manifest", "entry")]


@BOTH
def test_an_entry_without_its_object_is_missing_in_the_store(filled: Bench, deep: bool) -> None:
    filled.store.lose(KEY)
    report = filled.check(ALPHA, deep=deep)
    assert rows(report) == [_missing("the store", "object")]
    assert report.exit_code is ExitCode.STORE


class Vanishing(MemoryStore):
    """Somebody deletes what is looked at, just before."""

    def head(self, key: ObjectKey) -> StoredObject | None:
        self.lose(key)
        return super().head(key)


def test_an_object_that_vanishes_after_it_was_listed_is_not_verified() -> None:
    bench = Bench(Vanishing())
    bench.fill("alpha")
    report = Check(PREFIX, bench.store, False, bench.heard.append).run([ALPHA])
    assert [one.outcome for one in report.results] == [Outcome.FAILED]
    assert report.exit_code is ExitCode.STORE


@BOTH
def test_a_model_as_it_is_locked_is_verified(filled: Bench, deep: bool) -> None:
    assert filled.check(ALPHA._replace(locked=LOCKED), deep=deep).exit_code is ExitCode.DONE


@BOTH
def test_a_model_made_of_the_locked_file_is_verified(bench: Bench, deep: bool) -> None:
    source = Digest("a" * 64)
    made = replace(entry(), provenance=provenance()._replace(digest=f"sha256:{source}"))
    bench.store.keep(KEY, WEIGHTS, digest(WEIGHTS))
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": made})
    locked = LOCKED._replace(sha256=source, size_bytes=7)
    assert bench.check(ALPHA._replace(locked=locked), deep=deep).exit_code is ExitCode.DONE


@BOTH
def test_an_entry_that_is_not_what_is_locked_differs_and_both_are_named(filled: Bench, deep: bool) -> None:
    locked = LOCKED._replace(sha256=Digest("b" * 64))
    report = filled.check(ALPHA._replace(locked=locked), deep=deep)
    assert rows(report) == [
        _differs(f"the manifest says sha256 {digest(WEIGHTS)}, and models.lock says {locked.sha256}")
    ]
    assert report.exit_code is ExitCode.INTEGRITY


@BOTH
def test_the_failure_of_one_model_is_its_own_and_the_worst_decides(bench: Bench, deep: bool) -> None:
    bench.fill("alpha", "beta", "gamma")
    bench.store.keep(key_of("gamma"), b"damaged")
    bench.store.lose(key_of("beta"))
    refusal = StoreError("the store did not show it", cause="it is slow", next="run again")
    bench.store.refusals[f"{'sha256_of' if deep else 'head'} {KEY}"] = refusal
    bench.fill("delta")
    report = bench.check(*map(spec, ("alpha", "beta", "gamma", "delta")), deep=deep)
    assert [type(one.error) for one in report.results] == [StoreError, StoreError, IntegrityError, type(None)]
    assert report.results[0].error is refusal
    assert report.exit_code is ExitCode.STORE


def test_a_store_that_cannot_be_asked_at_all_is_no_row(filled: Bench) -> None:
    filled.store.refusals[f"objects {PREFIX}/toy/"] = StoreError("no", cause="no", next="no")
    with pytest.raises(StoreError):
        filled.check(ALPHA)


def test_each_framework_is_asked_for_once(filled: Bench) -> None:
    game = ModelSpec(ModelId(Framework("game"), "alpha"), "bin", "", "play", "a game")
    report = filled.check(game, ALPHA, game)
    assert [one.outcome for one in report.results] == [Outcome.FAILED, Outcome.VERIFIED, Outcome.FAILED]
    assert filled.store.requests[:4] == [
        f"read_document {PREFIX}/game/manifest.json",
        f"objects {PREFIX}/game/",
        f"read_document {MANIFEST}",
        f"objects {PREFIX}/toy/",
    ]


def test_nothing_to_check_asks_nobody(bench: Bench) -> None:
    assert bench.check() == RunReport(())
    assert bench.store.requests == []


def test_ctrl_c_ends_what_is_read(filled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(filled.store, "stop", lambda: stopped.append(True))
    with pytest.raises(KeyboardInterrupt):
        Check(PREFIX, filled.store, True, Mock(side_effect=KeyboardInterrupt)).run([ALPHA])
    assert stopped


def test_progress_is_told_where_bytes_are_read(bench: Bench) -> None:
    bench.fill("alpha")
    done = Event(ALPHA.model, Stage.VERIFY, State.DONE, SIZE, SIZE)
    bench.check(ALPHA)
    assert bench.heard == [done]
    bench.heard.clear()
    bench.check(ALPHA, deep=True)
    assert bench.heard == [
        Event(ALPHA.model, Stage.VERIFY, State.STARTED, 0, SIZE),
        Event(ALPHA.model, Stage.VERIFY, State.PROGRESS, SIZE, SIZE),
        done,
    ]
    bench.heard.clear()
    bench.store.lose(KEY)
    bench.check(ALPHA)
    assert bench.heard == [Event(ALPHA.model, Stage.VERIFY, State.FAILED, note="toy/alpha is not in the store")]


@BOTH
def test_a_manifest_that_makes_no_sense_fails_its_own_models_and_the_others_are_checked(
    filled: Bench, deep: bool
) -> None:
    game = ALPHA._replace(model=ModelId(Framework("game"), "alpha"))
    filled.store.keep(manifest.manifest_key(PREFIX, Framework("game")), b"{")
    report = filled.check(game, ALPHA, deep=deep)
    assert [row.outcome for row in report.results] == [Outcome.FAILED, Outcome.VERIFIED]
    assert [row.error.what for row in report.results if row.error] == [f"{PREFIX}/game/manifest.json is malformed"]
    assert report.exit_code is ExitCode.STORE
