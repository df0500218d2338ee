"""Who writes at the same time: one creates, and no entry is lost. By the double of R2, as moto itself races."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.command import environment
from support.r2_bench import Bench
from support.samples import PREFIX, TOY, content, entry
from weightdock.artifact import ObjectKey
from weightdock.store import Document, manifest
from weightdock.store.r2 import R2Store

KEY = ObjectKey(f"{PREFIX}/toy/alpha.bin")

WEIGHTS = content("alpha")

RACES = 8


@pytest.fixture
def store(quick_r2: Bench) -> R2Store:
    return R2Store(quick_r2.settings())


def test_a_document_is_replaced_only_by_who_has_read_it(store: R2Store) -> None:
    assert store.write_document(KEY, b"1", None)
    assert not store.write_document(KEY, b"2", None)
    first = store.read_document(KEY)
    assert first.content == b"1"
    assert store.write_document(KEY, b"3", first.etag)
    assert not store.write_document(KEY, b"4", first.etag)
    assert store.read_document(KEY).content == b"3"


def test_a_document_that_somebody_deleted_is_not_replaced(quick_r2: Bench, store: R2Store) -> None:
    assert store.write_document(KEY, b"1", None)
    read = store.read_document(KEY)
    quick_r2.client().delete_object(Bucket=quick_r2.bucket, Key=KEY)
    assert not store.write_document(KEY, b"2", read.etag)
    assert store.read_document(KEY) == Document(b"", None)


def _racer(r2: Bench, key: str, path: Path) -> subprocess.Popen[str]:
    python_path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "support.racer", key, path],
        env=environment(r2.environment(PYTHONPATH=python_path)),
        cwd=path.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("second", "ends"),
    [(WEIGHTS, ["created", "there already"]), (WEIGHTS.swapcase(), ["IntegrityError", "created"])],
    ids=["the same bytes", "other bytes"],
)
def test_of_two_processes_that_race_to_create_an_object_one_does(
    quick_r2: Bench, tmp_path: Path, second: bytes, ends: list[str]
) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    for path, weights in zip(files, (WEIGHTS, second), strict=True):
        path.write_bytes(weights)
    with (
        _racer(quick_r2, KEY, files[0]) as one,
        _racer(quick_r2, KEY, files[1]) as other,
    ):
        racers = (one, other)
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        ended = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(ended) == ends
    winner = files[ended.index("created")]
    assert quick_r2.content(KEY) == winner.read_bytes()


def test_eight_threads_that_publish_to_one_manifest_lose_no_entry(quick_r2: Bench) -> None:
    names = [f"model-{number}" for number in range(RACES)]
    together = threading.Barrier(RACES)

    def publish(name: str) -> None:
        store = R2Store(quick_r2.settings())
        manifest.read(store, PREFIX, TOY)
        together.wait(timeout=60)
        manifest.publish(store, PREFIX, TOY, {name: entry(name)})

    with ThreadPoolExecutor(RACES) as pool:
        list(pool.map(publish, names))
    published = manifest.read(R2Store(quick_r2.settings()), PREFIX, TOY)
    assert published.entries == {name: entry(name) for name in names}
