"""An upload that is ended: what had arrived is published, and what a killed one left goes."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event as Happened

import pytest

from support.fake_loader import FakeLoader
from support.memory_store import MemoryStore
from support.samples import (
    PREFIX,
    TOY,
    entry,
    judge,
    key_of,
)
from support.upload_bench import MANIFEST, SPECS, Bench
from support.workers import SECONDS
from weightdock.artifact import ObjectKey
from weightdock.catalogue import ModelSpec
from weightdock.errors import ExitCode, StoreError
from weightdock.events import BytesObserver, Event, State
from weightdock.upload import pipeline
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload
from weightdock.verify import VerifiedFile

FULL = StoreError("the store did not take it", cause="it is full", next="make room")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def test_after_ctrl_c_what_waits_is_not_sent_and_what_arrives_is_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, under_way = list[ObjectKey](), Happened()

    def put_file(
        store: MemoryStore, _file: VerifiedFile, key: ObjectKey, _sent: BytesObserver, _replacing: str | None = None
    ) -> bool:
        begun.append(key)
        under_way.set()
        return store.stopped.wait(timeout=SECONDS)

    def load(_loader: FakeLoader, spec: ModelSpec, _path: Path) -> None:
        if spec == SPECS[-1]:
            assert under_way.wait(timeout=SECONDS)
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "SLOTS", 1)
    monkeypatch.setattr(MemoryStore, "put_file", put_file)
    monkeypatch.setattr(FakeLoader, "load", load)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert begun == [key_of("alpha")]
    assert bench.store.stopped.is_set()
    assert bench.published() == {"alpha": entry("alpha")}


def test_after_ctrl_c_what_had_arrived_is_published_before_the_rest_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    through, write = MemoryStore.put_file, MemoryStore.write_document
    arrived, published = Happened(), Happened()

    def put_file(
        store: MemoryStore, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None = None
    ) -> bool:
        if key != key_of("alpha"):
            assert published.wait(timeout=SECONDS)
        return through(store, file, key, sent, replacing)

    def write_document(store: MemoryStore, key: ObjectKey, content: bytes, replacing: str | None) -> bool:
        published.set()
        return write(store, key, content, replacing)

    def load(_loader: FakeLoader, spec: ModelSpec, _path: Path) -> None:
        if spec == SPECS[-1]:
            assert arrived.wait(timeout=SECONDS)
            raise KeyboardInterrupt

    def observe(event: Event) -> None:
        if (event.model, event.state) == (SPECS[0].model, State.DONE):
            arrived.set()

    monkeypatch.setattr(MemoryStore, "put_file", put_file)
    monkeypatch.setattr(MemoryStore, "write_document", write_document)
    monkeypatch.setattr(FakeLoader, "load", load)
    upload = Upload(Acquire(TOY, bench.cache, bench.loader, observe, judge), bench.store, PREFIX)
    with pytest.raises(KeyboardInterrupt):
        upload.run(upload.plan(SPECS))
    assert bench.published() == {name: entry(name) for name in ("alpha", "beta")}


def test_a_manifest_that_cannot_be_written_does_not_hide_ctrl_c(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_loader: FakeLoader, spec: ModelSpec, _path: Path) -> None:
        if spec == SPECS[-1]:
            raise KeyboardInterrupt

    bench.store.refusals[f"write_document {MANIFEST}"] = FULL
    monkeypatch.setattr(FakeLoader, "load", load)
    with pytest.raises(KeyboardInterrupt):
        bench.run()


def test_what_a_killed_run_left_long_ago_is_removed(bench: Bench) -> None:
    left = bench.root / ".partial" / "toy-alpha-killed"
    left.mkdir(parents=True)
    os.utime(left, (1, 1))
    assert bench.run().exit_code is ExitCode.DONE
    assert not left.exists()
