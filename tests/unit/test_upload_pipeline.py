"""The upload: one model's failure is its own, and a rerun repeats nothing."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.lock_samples import locked_toy
from support.memory_store import MemoryStore
from support.samples import (
    PREFIX,
    TOY,
    Row,
    content,
    digest,
    entry,
    files,
    judge,
    key_of,
    rows,
    spec,
)
from support.upload_bench import MANIFEST, NAMES, SPECS, Bench, failed_row, files_of, objects_of, uploaded_row
from support.workers import SECONDS
from weightdock.artifact import ObjectKey
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError, ExitCode, IntegrityError, OriginError, StoreError
from weightdock.events import BytesObserver, Event, Stage, State
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import manifest
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload
from weightdock.verify import VerifiedFile

LIST = f"objects {PREFIX}/toy/"

GONE = OriginError("the origin did not give toy/beta", cause="404", next="run again")

FULL = StoreError("the store did not take it", cause="it is full", next="make room")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def test_files_are_sent_beside_each_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, through = Barrier(len(SPECS)), MemoryStore.put_file

    def put_file(
        store: MemoryStore, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None = None
    ) -> bool:
        under_way.wait(timeout=SECONDS)
        return through(store, file, key, sent, replacing)

    monkeypatch.setattr(MemoryStore, "put_file", put_file)
    assert bench.run().exit_code is ExitCode.DONE


def _there(name: str) -> Row:
    return uploaded_row(name, source="", outcome=Outcome.PRESENT)


def test_everything_that_is_missing_is_acquired_verified_uploaded_and_published(bench: Bench) -> None:
    report = bench.run()
    assert rows(report) == [uploaded_row(name) for name in NAMES]
    assert report.exit_code is ExitCode.DONE
    assert bench.stored() == objects_of(*NAMES)
    assert bench.published() == {name: entry(name) for name in NAMES}
    assert files(bench.root) == files_of(*NAMES)
    assert bench.loader.requests == [f"{do} {name}" for name in NAMES for do in ("acquire", "load")]


def test_the_manifest_is_asked_for_once_published_once_and_after_every_object(bench: Bench) -> None:
    bench.run()
    assert bench.store.requests == [
        f"read_document {MANIFEST}",
        LIST,
        *(f"put_file {key_of(name)}" for name in NAMES),
        f"read_document {MANIFEST}",
        f"write_document {MANIFEST}",
    ]


def test_a_run_with_nothing_to_do_asks_twice_and_uses_no_loader(bench: Bench) -> None:
    bench.run()
    bench.store.requests.clear()
    bench.loader.requests.clear()
    assert rows(bench.run()) == [_there(name) for name in NAMES]
    assert (bench.store.requests, bench.loader.requests) == ([f"read_document {MANIFEST}", LIST], [])


def test_planning_changes_nothing_and_uses_no_loader(bench: Bench) -> None:
    Upload(Acquire(TOY, bench.cache, bench.loader, bench.heard.append, judge), bench.store, PREFIX).plan(SPECS)
    assert bench.store.requests == [f"read_document {MANIFEST}", LIST]
    assert (bench.loader.requests, bench.heard, bench.root.exists()) == ([], [], False)


def test_a_model_that_the_origin_does_not_give_fails_and_the_others_still_upload(bench: Bench) -> None:
    bench.loader.refusals["beta"] = GONE
    report = bench.run()
    assert rows(report) == [uploaded_row("alpha"), failed_row("beta", GONE), uploaded_row("gamma")]
    assert report.exit_code is ExitCode.ORIGIN
    assert bench.stored() == objects_of("alpha", "gamma")
    assert bench.published() == {name: entry(name) for name in ("alpha", "gamma")}
    assert files(bench.root) == files_of("alpha", "gamma")


@pytest.mark.parametrize("kind", [ConfigurationError, OriginError, IntegrityError, StoreError])
def test_the_exit_code_is_that_of_what_failed(
    bench: Bench, kind: type[ConfigurationError | OriginError | IntegrityError | StoreError]
) -> None:
    bench.loader.refusals["alpha"] = kind("what", cause="cause", next="next")
    assert bench.run().exit_code is kind.exit_code


def _force(bench: Bench, wanted: ModelSpec) -> ModelResult:
    upload = Upload(Acquire(TOY, bench.cache, bench.loader, bench.heard.append, judge), bench.store, PREFIX)
    (row,) = upload.run(upload.plan([wanted], force=True)).results
    return row


def test_a_forced_model_is_what_the_origin_has_now_and_not_what_the_cache_kept(bench: Bench) -> None:
    bench.run()
    bench.loader.files["alpha"] = b"what the origin has now"
    row = _force(bench, spec("alpha"))
    assert (row.outcome, row.sha256) == (Outcome.REPLACED, digest(b"what the origin has now"))
    assert bench.stored()[key_of("alpha")] == b"what the origin has now"


def test_a_forced_model_that_the_lock_confirms_comes_from_the_cache(bench: Bench) -> None:
    bench.run()
    bench.store.keep(key_of("alpha"), b"damaged")
    bench.loader.requests.clear()
    row = _force(bench, spec("alpha")._replace(locked=locked_toy()))
    assert (row.outcome, row.source) == (Outcome.REPLACED, "local cache")
    assert bench.loader.requests == []
    assert bench.stored()[key_of("alpha")] == content("alpha")


def test_an_object_that_was_lost_is_uploaded_again(bench: Bench) -> None:
    bench.run()
    bench.store.lose(key_of("beta"))
    assert rows(bench.run()) == [_there("alpha"), uploaded_row("beta", "local cache"), _there("gamma")]
    assert bench.stored() == objects_of(*NAMES)


def test_a_rerun_after_a_failed_upload_finishes_it_without_acquiring_again(bench: Bench) -> None:
    refusal = f"put_file {key_of('beta')}"
    bench.store.refusals[refusal] = FULL
    first = bench.run()
    assert rows(first) == [uploaded_row("alpha"), failed_row("beta", FULL), uploaded_row("gamma")]
    assert first.exit_code is ExitCode.STORE
    assert bench.published().keys() == {"alpha", "gamma"}

    del bench.store.refusals[refusal]
    bench.loader.requests.clear()
    assert rows(bench.run()) == [_there("alpha"), uploaded_row("beta", "local cache"), _there("gamma")]
    assert bench.loader.requests == []
    assert bench.stored() == objects_of(*NAMES)
    assert bench.published() == {name: entry(name) for name in NAMES}


def test_a_run_that_could_not_publish_the_manifest_is_finished_by_the_next_without_sending_again(bench: Bench) -> None:
    refusal = f"write_document {MANIFEST}"
    bench.store.refusals[refusal] = FULL
    with pytest.raises(StoreError, match="the store did not take it"):
        bench.run()
    assert bench.published() == {}

    del bench.store.refusals[refusal]
    bench.store.requests.clear()
    bench.loader.requests.clear()
    assert rows(bench.run()) == [uploaded_row(name, "local cache", Outcome.ADOPTED) for name in NAMES]
    assert (bench.sent(), bench.loader.requests) == ([], [])
    assert bench.published() == {name: entry(name) for name in NAMES}


def test_a_cache_whose_disk_does_not_take_the_file_fails_that_model_alone(bench: Bench) -> None:
    # What stands where the framework's folder belongs is what a full or broken disk looks like: an OSError.
    bench.root.mkdir()
    (bench.root / "toy").write_text("in the way")
    report = bench.run(SPECS[:2])
    assert [one.outcome for one in report.results] == [Outcome.FAILED, Outcome.FAILED]
    assert report.exit_code in (ExitCode.USAGE, ExitCode.STORE)


def test_a_run_of_no_models_publishes_nothing(bench: Bench) -> None:
    assert bench.run(()) == RunReport(())
    assert bench.store.contents() == {}


def test_each_model_tells_its_stages_in_order(bench: Bench) -> None:
    bench.loader.refusals["beta"] = GONE
    manifest.publish(bench.store, PREFIX, TOY, {"gamma": entry("gamma")})
    bench.store.keep(key_of("gamma"), content("gamma"))
    bench.run()
    size = len(content("alpha"))
    alpha, beta, gamma = (one.model for one in SPECS)
    told = {model: [event for event in bench.heard if event.model == model] for model in (alpha, beta, gamma)}
    assert told == {
        alpha: [
            Event(alpha, Stage.ACQUIRE, State.STARTED),
            Event(alpha, Stage.ACQUIRE, State.PROGRESS, size),
            Event(alpha, Stage.VERIFY, State.STARTED),
            Event(alpha, Stage.UPLOAD, State.STARTED, 0, size),
            Event(alpha, Stage.UPLOAD, State.PROGRESS, size, size),
            Event(alpha, Stage.UPLOAD, State.DONE, size, size, "uploaded"),
        ],
        beta: [
            Event(beta, Stage.ACQUIRE, State.STARTED),
            Event(beta, Stage.ACQUIRE, State.FAILED, note=GONE.what),
        ],
        gamma: [Event(gamma, Stage.UPLOAD, State.SKIPPED, note="Already exists in R2")],
    }


FAULTS = st.lists(st.sampled_from(["none", "origin", "damaged", "store"]), min_size=3, max_size=3)


@given(runs=st.lists(FAULTS, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_fails_in_earlier_runs_a_good_one_finishes_and_nothing_is_done_twice(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("cache"))
    for faults in [*runs, ["none"] * 3]:
        by_name = dict(zip(NAMES, faults, strict=True))
        bench.loader.refusals = {name: GONE for name, fault in by_name.items() if fault == "origin"}
        bench.loader.unloadable = {name for name, fault in by_name.items() if fault == "damaged"}
        bench.store.refusals = {f"put_file {key_of(name)}": FULL for name, fault in by_name.items() if fault == "store"}
        bench.run()
        # What is there is whole and in the manifest; what is not leaves no trace in either.
        done = set(bench.published())
        assert bench.stored() == objects_of(*done)
    assert bench.published() == {name: entry(name) for name in NAMES}
    assert files(bench.root) == files_of(*NAMES)
    # An acquisition that succeeded was never repeated, and no object was sent again after it had arrived.
    for name, *faults in zip(NAMES, *runs, strict=True):
        had_to = 0
        for fault in [*faults, "none"]:
            had_to += 1
            if fault in ("none", "store"):
                break
        assert bench.loader.requests.count(f"acquire {name}") == had_to
