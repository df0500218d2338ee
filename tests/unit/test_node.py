"""A node: from its cache when that holds, else from the store, and never anything but what the manifest says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.filled_node import NAMES, Node
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, Row, content, digest, entry, files, key_of, rows, spec
from weightdock import cache
from weightdock.artifact import Digest, ObjectKey
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.errors import ExitCode, StoreError
from weightdock.events import Event, Stage, State
from weightdock.node.fill import Fill
from weightdock.report import Outcome
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key

MANIFEST = manifest_key(PREFIX, TOY)


def _row(name: str, outcome: Outcome, source: str) -> Row:
    weights = content(name)
    return (f"toy/{name}", key_of(name), outcome, len(weights), digest(weights), source, "")


def _fetched(name: str) -> Row:
    return _row(name, Outcome.FETCHED, "R2 ← origin.example")


def _cached(name: str) -> Row:
    return _row(name, Outcome.CACHED, "local cache")


def _failed(name: str, error: str) -> Row:
    return (f"toy/{name}", key_of(name), Outcome.FAILED, None, None, "", error)


def _files(*names: str) -> set[str]:
    return {f"toy/{name}.bin" for name in names} | {f".receipts/toy/{name}.bin.json" for name in names}


def test_an_empty_node_fetches_every_model_once(node: Node) -> None:
    report = node.fill()
    assert rows(report) == [_fetched(name) for name in NAMES]
    assert report.exit_code is ExitCode.DONE
    assert node.weights() == {f"{name}.bin": content(name) for name in NAMES}
    assert files(node.root) == _files(*NAMES)
    assert sorted(node.store.requests) == sorted(
        [
            f"read_document {MANIFEST}",
            *(f"read_range {key_of(name)}" for name in NAMES),
        ]
    )


def test_a_warm_node_asks_for_the_manifest_and_nothing_else(node: Node) -> None:
    node.fill()
    node.store.requests.clear()
    assert rows(node.fill()) == [_cached(name) for name in NAMES]
    assert node.store.requests == [f"read_document {MANIFEST}"]


def test_only_what_was_asked_for_is_fetched(node: Node) -> None:
    assert rows(node.fill("beta")) == [_fetched("beta")]
    assert node.weights() == {"beta.bin": content("beta")}


def test_a_cached_file_that_changed_is_fetched_again(node: Node) -> None:
    node.fill()
    (node.root / "toy" / "beta.bin").write_bytes(b"scribbled over")
    assert rows(node.fill()) == [_cached("alpha"), _fetched("beta"), _cached("gamma")]
    assert node.weights()["beta.bin"] == content("beta")


def test_a_newer_object_replaces_the_cached_file(node: Node) -> None:
    node.fill()
    newer = entry("beta", b"newer weights")
    node.store.keep(key_of("beta"), b"newer weights")
    manifest.publish(node.store, PREFIX, TOY, {"beta": newer})
    assert [one.outcome for one in node.fill().results] == [Outcome.CACHED, Outcome.FETCHED, Outcome.CACHED]
    assert node.weights()["beta.bin"] == b"newer weights"


@pytest.mark.parametrize(
    ("corrupt", "what", "cause"),
    [
        (
            b"the weights of BETA",
            "toy/beta",
            f"its sha256 is {digest(b'the weights of BETA')}, and the manifest says {digest(content('beta'))}",
        ),
        (b"the weights", key_of("beta"), f"its size is 11 bytes, and the manifest says {len(content('beta'))}"),
    ],
    ids=["other bytes", "truncated"],
)
@pytest.mark.parametrize("warm", [False, True])
def test_a_corrupt_object_is_refused_and_the_cache_keeps_what_it_had(
    node: Node, corrupt: bytes, what: str, cause: str, warm: bool
) -> None:
    old = {f"{name}.bin": content(name) for name in ("alpha", "gamma")}
    expected = _files("alpha", "gamma")
    if warm:  # an older file is there, which the manifest no longer means
        node.store.keep(key_of("beta"), b"older weights")
        manifest.publish(node.store, PREFIX, TOY, {"beta": entry("beta", b"older weights")})
        node.fill()
        manifest.publish(node.store, PREFIX, TOY, {"beta": entry("beta")})
        old["beta.bin"] = b"older weights"
        expected |= _files("beta")
    node.store.keep(key_of("beta"), corrupt)
    report = node.fill()
    (*_, error) = rows(report)[1]
    assert error.startswith(f"error: {what} is not what it should be\ncause: {cause}\nnext: nothing was kept of it; ")
    assert report.exit_code is ExitCode.INTEGRITY
    assert (node.weights(), files(node.root)) == (old, expected)


def test_a_model_that_the_store_does_not_have_is_named_and_the_others_are_fetched(node: Node) -> None:
    report = node.fill("alpha", "delta", "gamma")
    assert rows(report) == [
        _fetched("alpha"),
        _failed(
            "delta",
            "error: toy/delta is not in the store\n"
            "cause: models/pretrained/toy/manifest.json has no entry for it\n"
            "next: make upload/toy",
        ),
        _fetched("gamma"),
    ]
    assert report.exit_code is ExitCode.STORE


def test_an_object_that_the_store_does_not_give_fails_alone(node: Node) -> None:
    error = StoreError("the store did not give it", cause="it is gone", next="run again")
    node.store.refusals[f"read_range {key_of('beta')}"] = error
    report = node.fill()
    assert rows(report) == [_fetched("alpha"), _failed("beta", str(error)), _fetched("gamma")]
    assert files(node.root) == _files("alpha", "gamma")


def test_a_disk_that_does_not_take_the_file_fails_each_model_by_itself(node: Node) -> None:
    node.root.mkdir()
    (node.root / "toy").write_text("in the way of the framework's folder")
    report = node.fill()
    assert [one.outcome for one in report.results] == [Outcome.FAILED] * 3
    assert report.exit_code in (ExitCode.USAGE, ExitCode.STORE)


def test_a_store_without_a_manifest_has_none_of_the_models(tmp_path: Path) -> None:
    report = Fill(PREFIX, MemoryStore(), Room(Cache(tmp_path)), list[Event]().append).run([spec("alpha")])
    assert (report.exit_code, report.results[0].outcome) == (ExitCode.STORE, Outcome.FAILED)
    assert files(tmp_path) == set()


def test_a_store_that_cannot_be_asked_ends_the_run(node: Node) -> None:
    error = StoreError("the store did not give it", cause="it is gone", next="run again")
    node.store.refusals[f"read_document {MANIFEST}"] = error
    with pytest.raises(StoreError, match="the store did not give it"):
        node.fill()


def test_each_model_tells_its_stages_in_order(node: Node) -> None:
    node.fill("alpha")
    node.fill("alpha", "delta")
    model, size = spec("alpha").model, len(content("alpha"))
    assert [event for event in node.heard if event.model == model] == [
        Event(model, Stage.FETCH, State.STARTED, 0, size),
        Event(model, Stage.FETCH, State.PROGRESS, size, size),
        Event(model, Stage.FETCH, State.DONE, size, size),
        Event(model, Stage.FETCH, State.SKIPPED, note="in the cache"),
    ]
    assert [event for event in node.heard if event.model == spec("delta").model] == [
        Event(spec("delta").model, Stage.FETCH, State.FAILED, note="toy/delta is not in the store")
    ]


def test_a_manifest_that_names_a_file_of_another_kind_is_refused(node: Node) -> None:
    manifest.publish(node.store, PREFIX, TOY, {"alpha": replace(entry("alpha"), extension="sh")})
    node.store.keep(ObjectKey(f"{PREFIX}/toy/alpha.sh"), content("alpha"))
    report = node.fill("alpha")
    assert rows(report) == [
        _failed(
            "alpha",
            "error: the manifest of toy names a file of another kind for toy/alpha\n"
            "cause: it ends in .sh, and what toy loads ends in .bin\n"
            "next: find out who wrote the manifest; "
            "`weightdock-driver upload --force --model toy/alpha` writes a good one",
        )
    ]
    assert (report.exit_code, files(node.root)) == (ExitCode.INTEGRITY, set())


def test_ctrl_c_ends_the_reading_of_what_is_in_the_cache(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.fill()
    read_whole, begun = [], threading.Event()

    def read(path: Path, go_on: Callable[[], None]) -> Digest:
        if path.stem == "alpha":
            assert begun.wait(timeout=60)
            raise KeyboardInterrupt
        begun.set()
        for _ in range(500):
            go_on()
            time.sleep(0.01)
        read_whole.append(path)
        return digest(path.read_bytes())

    monkeypatch.setattr(cache, "sha256_of", read)
    with pytest.raises(KeyboardInterrupt):
        node.fill("alpha", "beta", deep=True)
    assert read_whole == []
