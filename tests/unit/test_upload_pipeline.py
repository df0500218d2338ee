"""The upload: one model's failure is its own, nothing unverified leaves, and a rerun repeats nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fake_loader import FakeLoader, does_not_load
from support.memory_store import MemoryStore
from support.samples import (
    ORIGIN,
    PREFIX,
    TOY,
    Row,
    content,
    digest,
    entry,
    judge,
    key_of,
    provenance,
    rows,
    spec,
    tree,
    verified,
)
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError, ExitCode, IntegrityError, OriginError, StoreError
from weightdock.events import Event, Stage, State
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.store.manifest import Entry, manifest_key
from weightdock.upload.pipeline import Upload

NAMES = ("alpha", "beta", "gamma")
SPECS = tuple(map(spec, NAMES))
MANIFEST = manifest_key(PREFIX, TOY)
LIST = f"objects {PREFIX}/toy/"
GONE = OriginError("the origin did not give toy/beta", cause="404", next="run again")
FULL = StoreError("the store did not take it", cause="it is full", next="make room")


@dataclass
class Bench:
    """One framework's upload with everything around it."""

    root: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    loader: FakeLoader = field(default_factory=lambda: FakeLoader({name: content(name) for name in NAMES}))
    heard: list[Event] = field(default_factory=list)

    @property
    def cache(self) -> Cache:
        return Cache(self.root)

    def run(self, specs: Sequence[ModelSpec] = SPECS) -> RunReport:
        upload = Upload(TOY, PREFIX, self.store, self.cache, self.loader, self.heard.append, judge)
        return upload.run(upload.plan(specs))

    def published(self) -> dict[str, Entry]:
        """The manifest's entries, less when they were made."""
        entries = manifest.read(self.store, PREFIX, TOY).entries
        return {name: replace(one, uploaded=entry(name).uploaded) for name, one in entries.items()}

    def stored(self) -> dict[str, bytes]:
        return {key: weights for key, weights in self.store.contents().items() if key != MANIFEST}

    def sent(self) -> list[str]:
        return [request for request in self.store.requests if request.startswith("put_file")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def _uploaded(name: str, source: str = "origin.example", outcome: Outcome = Outcome.UPLOADED) -> Row:
    weights = content(name)
    return (f"toy/{name}", key_of(name), outcome, len(weights), digest(weights), source, "")


def _there(name: str) -> Row:
    return _uploaded(name, source="", outcome=Outcome.PRESENT)


def _failed(name: str, error: Exception) -> Row:
    return (f"toy/{name}", key_of(name), Outcome.FAILED, None, None, "", str(error))


def _objects(*names: str) -> dict[str, bytes]:
    return {key_of(name): content(name) for name in names}


def _files(*names: str) -> set[str]:
    return {f"toy/{name}.bin" for name in names} | {f".receipts/toy/{name}.bin.json" for name in names}


def test_everything_that_is_missing_is_acquired_verified_uploaded_and_published(bench: Bench) -> None:
    report = bench.run()
    assert rows(report) == [_uploaded(name) for name in NAMES]
    assert report.exit_code is ExitCode.DONE
    assert bench.stored() == _objects(*NAMES)
    assert bench.published() == {name: entry(name) for name in NAMES}
    assert tree(bench.root) == _files(*NAMES)
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
    Upload(TOY, PREFIX, bench.store, bench.cache, bench.loader, bench.heard.append, judge).plan(SPECS)
    assert bench.store.requests == [f"read_document {MANIFEST}", LIST]
    assert (bench.loader.requests, bench.heard, bench.root.exists()) == ([], [], False)


def test_a_model_that_the_origin_does_not_give_fails_and_the_others_still_upload(bench: Bench) -> None:
    bench.loader.refusals["beta"] = GONE
    report = bench.run()
    assert rows(report) == [_uploaded("alpha"), _failed("beta", GONE), _uploaded("gamma")]
    assert report.exit_code is ExitCode.ORIGIN
    assert bench.stored() == _objects("alpha", "gamma")
    assert bench.published() == {name: entry(name) for name in ("alpha", "gamma")}
    assert tree(bench.root) == _files("alpha", "gamma")


@pytest.mark.parametrize("kind", [ConfigurationError, OriginError, IntegrityError, StoreError])
def test_the_exit_code_is_that_of_what_failed(
    bench: Bench, kind: type[ConfigurationError | OriginError | IntegrityError | StoreError]
) -> None:
    bench.loader.refusals["alpha"] = kind("what", cause="cause", next="next")
    assert bench.run().exit_code is kind.exit_code


def _other_bytes(loader: FakeLoader) -> str:
    loader.published["beta"] = digest(b"what the origin published")
    return f"its sha256 is {digest(content('beta'))}, and the origin says {digest(b'what the origin published')}"


def _truncated(loader: FakeLoader) -> str:
    loader.published_bytes["beta"] = 1000
    return f"its size is {len(content('beta'))} bytes, and the origin says 1000 bytes"


@pytest.mark.parametrize("damage", [_other_bytes, _truncated])
def test_a_damaged_download_is_neither_loaded_nor_uploaded_nor_kept(
    bench: Bench, damage: Callable[[FakeLoader], str]
) -> None:
    cause = damage(bench.loader)
    report = bench.run()
    error = IntegrityError(
        "toy/beta is not what it should be",
        cause=cause,
        next="nothing was kept of it; run again, and if it stays so, ask the origin's owner what changed",
    )
    assert rows(report) == [_uploaded("alpha"), _failed("beta", error), _uploaded("gamma")]
    assert report.exit_code is ExitCode.INTEGRITY
    assert "load beta" not in bench.loader.requests
    assert bench.stored() == _objects("alpha", "gamma")
    assert bench.published().keys() == {"alpha", "gamma"}
    assert tree(bench.root) == _files("alpha", "gamma")
    assert list((bench.root / ".partial").iterdir()) == []


def test_a_file_that_gives_no_model_is_neither_uploaded_nor_kept(bench: Bench) -> None:
    bench.loader.unloadable.add("beta")
    report = bench.run()
    assert rows(report)[1] == _failed("beta", does_not_load("beta"))
    assert report.exit_code is ExitCode.INTEGRITY
    assert bench.stored() == _objects("alpha", "gamma")
    assert tree(bench.root) == _files("alpha", "gamma")


def test_a_file_that_the_library_only_claims_to_have_written_is_named(bench: Bench) -> None:
    bench.loader.unwritten.add("beta")
    report = bench.run()
    error = report.results[1].error
    assert error
    assert error.exit_code is ExitCode.ORIGIN
    assert error.what == "Could not locate downloaded weights"
    assert error.cause.startswith(f"the loader of toy/beta named {bench.root}/.partial/toy-beta-")
    assert error.cause.endswith("/beta.download, which is not there")
    assert bench.stored() == _objects("alpha", "gamma")


def test_a_file_that_differs_from_what_the_manifest_says_of_a_lost_object_is_not_uploaded(bench: Bench) -> None:
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha", b"what was lost")})
    report = bench.run(SPECS[:1])
    assert report.exit_code is ExitCode.INTEGRITY
    assert report.results[0].error
    assert report.results[0].error.cause.endswith("and the manifest says 13 bytes")
    assert (bench.stored(), bench.published()) == ({}, {"alpha": entry("alpha", b"what was lost")})


def test_a_cached_file_that_differs_from_what_the_manifest_says_of_a_lost_object_is_not_uploaded(bench: Bench) -> None:
    bench.run(SPECS[:1])
    bench.store.lose(key_of("alpha"))
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha", b"what was lost")})
    bench.run(SPECS[:1])
    assert (bench.stored(), bench.published()) == ({}, {"alpha": entry("alpha", b"what was lost")})


def test_an_object_that_was_lost_is_uploaded_again(bench: Bench) -> None:
    bench.run()
    bench.store.lose(key_of("beta"))
    assert rows(bench.run()) == [_there("alpha"), _uploaded("beta", "local cache"), _there("gamma")]
    assert bench.stored() == _objects(*NAMES)


def test_a_rerun_after_a_failed_upload_finishes_it_without_acquiring_again(bench: Bench) -> None:
    refusal = f"put_file {key_of('beta')}"
    bench.store.refusals[refusal] = FULL
    first = bench.run()
    assert rows(first) == [_uploaded("alpha"), _failed("beta", FULL), _uploaded("gamma")]
    assert first.exit_code is ExitCode.STORE
    assert bench.published().keys() == {"alpha", "gamma"}

    del bench.store.refusals[refusal]
    bench.loader.requests.clear()
    assert rows(bench.run()) == [_there("alpha"), _uploaded("beta", "local cache"), _there("gamma")]
    assert bench.loader.requests == []
    assert bench.stored() == _objects(*NAMES)
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
    assert rows(bench.run()) == [_uploaded(name, "local cache", Outcome.ADOPTED) for name in NAMES]
    assert (bench.sent(), bench.loader.requests) == ([], [])
    assert bench.published() == {name: entry(name) for name in NAMES}


def test_an_object_that_the_manifest_does_not_know_is_adopted_when_it_is_the_same(bench: Bench) -> None:
    bench.store.keep(key_of("alpha"), content("alpha"))
    assert rows(bench.run(SPECS[:1])) == [_uploaded("alpha", outcome=Outcome.ADOPTED)]
    assert bench.published() == {"alpha": entry("alpha")}
    assert bench.sent() == []


def test_an_object_that_the_manifest_does_not_know_is_left_alone_when_it_is_another(bench: Bench) -> None:
    bench.store.keep(key_of("alpha"), b"somebody else's")
    report = bench.run(SPECS[:2])
    assert (report.exit_code, rows(report)[1]) == (ExitCode.INTEGRITY, _uploaded("beta"))
    assert bench.stored() == {key_of("alpha"): b"somebody else's", **_objects("beta")}
    assert bench.published().keys() == {"beta"}


def test_an_object_that_is_not_what_the_manifest_says_is_left_alone(bench: Bench) -> None:
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha")})
    bench.store.keep(key_of("alpha"), b"truncat")
    report = bench.run(SPECS[:2])
    assert report.exit_code is ExitCode.INTEGRITY
    assert [one.outcome for one in report.results] == [Outcome.DIFFERS, Outcome.UPLOADED]
    assert bench.stored() == {key_of("alpha"): b"truncat", **_objects("beta")}
    assert bench.published() == {"alpha": entry("alpha"), "beta": entry("beta")}
    assert "acquire alpha" not in bench.loader.requests


@pytest.mark.parametrize(("theirs", "outcome"), [(content("alpha"), Outcome.PRESENT), (b"other", Outcome.FAILED)])
def test_an_object_that_somebody_creates_after_the_plan_is_never_overwritten(
    bench: Bench, theirs: bytes, outcome: Outcome
) -> None:
    upload = Upload(TOY, PREFIX, bench.store, bench.cache, bench.loader, bench.heard.append, judge)
    planned = upload.plan(SPECS[:1])
    bench.store.keep(key_of("alpha"), theirs)
    assert [one.outcome for one in upload.run(planned).results] == [outcome]
    assert bench.stored() == {key_of("alpha"): theirs}


def test_a_file_that_a_node_fetched_tells_no_origin_and_is_acquired_again(bench: Bench) -> None:
    with bench.cache.partial(spec("alpha").model) as folder:
        bench.cache.publish(replace(verified(folder / "x"), provenance=None), "bin")
    assert rows(bench.run(SPECS[:1])) == [_uploaded("alpha")]
    assert bench.published() == {"alpha": entry("alpha")}


def test_a_cached_file_of_another_origin_does_not_get_into_the_store(bench: Bench) -> None:
    # A demo's random weights, say, in a cache that both use.
    with bench.cache.partial(spec("alpha").model) as folder:
        other = replace(provenance("alpha"), url=f"{ORIGIN}.evil/alpha")
        bench.cache.publish(replace(verified(folder / "x", weights=b"random"), provenance=other), "bin")
    assert rows(bench.run(SPECS[:1])) == [_uploaded("alpha")]
    assert bench.stored() == _objects("alpha")


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
        assert bench.stored() == _objects(*done)
    assert bench.published() == {name: entry(name) for name in NAMES}
    assert tree(bench.root) == _files(*NAMES)
    # An acquisition that succeeded was never repeated, and no object was sent again after it had arrived.
    for name, *faults in zip(NAMES, *runs, strict=True):
        had_to = 0
        for fault in [*faults, "none"]:
            had_to += 1
            if fault in ("none", "store"):
                break
        assert bench.loader.requests.count(f"acquire {name}") == had_to
