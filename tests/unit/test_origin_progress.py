"""How far an acquisition is: by how much the folders grow, for as long as it lasts and no longer."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from support.origin_scene import Acquire, pickled
from support.samples import spec
from weightdock.errors import OriginError
from weightdock.origins import child
from weightdock.origins.child import OriginProcess

pytestmark = pytest.mark.usefixtures("toy_origin")


def test_progress_is_how_much_the_folders_have_grown(
    origin: OriginProcess, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_POLL_SECONDS", 0.01)
    caches = tmp_path / "cache" / ".origin" / "toy"
    caches.mkdir(parents=True)
    (caches / "of an earlier model").write_bytes(bytes(50_000))
    heard: list[int] = []

    def hear(count: int) -> None:
        heard.append(count)
        if count >= 1000:
            (into / "heard").touch()

    origin.acquire(spec("alpha", asset="downloads"), into, hear)
    assert max(heard) == 1000 + len(pickled("alpha downloads"))
    assert heard == sorted(heard)


def test_a_cache_that_takes_long_to_walk_is_walked_for_a_twentieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walk(_folder: Path) -> int:
        threading.Event().wait(0.01)
        return 0

    monkeypatch.setattr(child, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(child, "_bytes_in", walk)
    heard = threading.Semaphore(0)
    with child._watch((tmp_path,), lambda _: heard.release()):
        began = time.monotonic()
        for _ in range(3):
            heard.acquire()
    assert time.monotonic() - began >= 3 * 20 * 0.01


def test_nobody_watches_the_folders_after_the_acquisition(acquire: Acquire) -> None:
    before = threading.enumerate()
    acquire(spec("alpha"))
    with pytest.raises(OriginError):
        acquire(spec("beta", asset="refuses"))
    assert threading.enumerate() == before


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.timeout(20)
def test_an_interrupted_acquisition_does_not_wait_for_the_library(
    origin: OriginProcess, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_POLL_SECONDS", 0.01)
    before, interrupted = signal.signal(signal.SIGUSR1, _stop), threading.Event()

    def hear(count: int) -> None:
        if count >= 1000 and not interrupted.is_set():  # the library is in the middle of it, waiting for ever
            interrupted.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    try:
        with pytest.raises(KeyboardInterrupt), origin:
            origin.acquire(spec("alpha", asset="downloads"), into, hear)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_files_and_folders_that_a_library_removes_meanwhile_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = tmp_path / "caches"
    for folder in ("a", "b"):
        (caches / folder).mkdir(parents=True)
        (caches / folder / "weights").write_bytes(bytes(10))
    size_of, removed = Path.stat, list[Path]()

    def remove_before(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if not removed and path.parent.parent == caches:
            other = caches / ("b" if path.parent.name == "a" else "a")
            removed.append(other)
            (other / "weights").unlink()
            other.rmdir()
        return size_of(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", remove_before)
    assert child._bytes_in(caches) == 10
    assert removed
