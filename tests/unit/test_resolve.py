"""One model as a path: the cache first, then the store; and what a cached one costs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import weightdock
from support.command import environment
from support.resolve_scene import KEY, NAME, Scene
from support.samples import PREFIX, TOY, content, spec
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.errors import StoreError
from weightdock.events import Event
from weightdock.node.ranges import Ranges
from weightdock.store.manifest import manifest_key
from weightdock.verify import verify


def test_what_is_cached_is_given_without_a_request(resolving: Scene) -> None:
    path = resolving.fill_cache()
    assert resolving.resolve() == path
    assert resolving.store.requests == []
    assert [(event.state, event.note) for event in resolving.heard] == [("skipped", "in the cache")]


def test_what_is_not_cached_comes_from_the_store_once(resolving: Scene) -> None:
    resolving.keep()
    path = resolving.resolve()
    assert (path, path.read_bytes()) == (resolving.root / "toy" / "alpha.bin", content("alpha"))
    assert resolving.store.requests == [f"read_document {manifest_key(PREFIX, TOY)}", f"read_range {KEY}"]
    assert [event.state for event in resolving.heard] == ["started", "progress", "done"]
    resolving.store.requests.clear()
    assert resolving.resolve() == path
    assert resolving.store.requests == []


def test_what_is_evicted_before_it_is_held_is_fetched_again(resolving: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving.keep()
    path, real, evicted = resolving.fill_cache(), fcntl.flock, list[Path]()

    def flock(handle: int, how: int) -> None:
        if how & fcntl.LOCK_SH and len(evicted) < 2 and path.exists():  # the one that was here, and the next
            path.unlink()
            evicted.append(path)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert resolving.resolve() == path
    assert path.read_bytes() == content("alpha")
    assert len(evicted) == 2
    assert resolving.store.requests.count(f"read_range {KEY}") == 2


def test_who_is_interrupted_asks_for_nothing_more(resolving: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise KeyboardInterrupt

    resolving.keep()
    monkeypatch.setattr(Ranges, "read", read)
    with pytest.raises(KeyboardInterrupt):
        resolving.resolve()
    assert resolving.store.stopped.is_set()


def test_offline_asks_nobody_and_says_what_is_missing(resolving: Scene) -> None:
    resolving.keep()
    resolving.set(WEIGHTDOCK_OFFLINE="1", WEIGHTDOCK_ORIGIN="allow")
    with pytest.raises(StoreError) as refused:
        resolving.resolve()
    assert str(refused.value) == (
        "error: toy/alpha is not in the cache\n"
        f"cause: WEIGHTDOCK_OFFLINE=1 forbids to ask R2; {resolving.root}/toy/alpha.bin is not there, or changed\n"
        "next: unset WEIGHTDOCK_OFFLINE, or fill the cache beforehand: weightdock fetch"
    )
    assert resolving.store.requests == []


def _touched(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _copied(path: Path) -> None:
    another = path.with_name("another")
    another.write_bytes(path.read_bytes())
    another.replace(path)


@pytest.mark.parametrize("change", [_touched, _copied])
@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_file_that_was_touched_or_copied_is_hashed_once_and_not_fetched(
    resolving: Scene, change: Callable[[Path], None], offline: str
) -> None:
    resolving.keep()
    change(resolving.fill_cache())
    resolving.set(WEIGHTDOCK_OFFLINE=offline)
    path = resolving.resolve()
    assert resolving.cache.find(spec().model, "bin"), "the receipt was not written anew"
    assert f"read_range {KEY}" not in resolving.store.requests
    assert resolving.resolve() == path


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_file_that_was_changed_is_never_given(resolving: Scene, keep_times: bool) -> None:
    resolving.keep()
    path = resolving.fill_cache()
    status = path.stat()
    path.write_bytes(b"scribbled over, and longer")
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    resolving.set(WEIGHTDOCK_OFFLINE="1")
    with pytest.raises(StoreError):
        resolving.resolve()
    resolving.set(WEIGHTDOCK_OFFLINE="0")
    assert resolving.resolve().read_bytes() == content("alpha")


def test_a_file_without_a_receipt_is_taken_if_it_is_what_the_manifest_says(resolving: Scene) -> None:
    resolving.keep()
    path = resolving.root / "toy" / "alpha.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(content("alpha"))
    assert resolving.resolve() == path
    assert f"read_range {KEY}" not in resolving.store.requests


def test_resolving_from_the_cache_takes_less_than_a_millisecond_and_no_boto3(resolving: Scene) -> None:
    resolving.fill_cache()
    resolving.resolve()
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        weightdock.resolve(NAME)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.001


def test_a_training_script_that_finds_its_model_imports_neither_boto3_nor_click(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    model = ModelId.parse("timm/convnext_tiny")
    with cache.partial(model) as folder:
        (folder / "x").write_bytes(b"weights")
        cache.publish(verify(model, folder / "x", []), "pth")
    script = (
        "import sys, weightdock\n"
        "print(weightdock.resolve('timm/convnext_tiny'))\n"
        "print(*sorted({'boto3', 'botocore', 'click', 'dotenv', 'torch', 'ssl'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment({"WEIGHTDOCK_CACHE": str(cache.root)}),
    )
    assert ran.stdout == f"{cache.root}/timm/convnext_tiny.pth\n\n"


def test_what_died_long_ago_is_cleared_away_by_a_model_that_is_fetched(resolving: Scene) -> None:
    resolving.keep()
    dead = resolving.root / ".partial" / "dead"
    dead.mkdir(parents=True)
    os.utime(dead, (0, 0))
    resolving.resolve()
    assert not dead.exists()


def test_what_a_listener_raises_is_not_taken_for_the_disk_s(resolving: Scene) -> None:
    resolving.keep()

    def full(_event: Event) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RuntimeError) as met:
        weightdock.resolve("toy/alpha", on_event=full)
    assert isinstance(met.value.__cause__, OSError)
