"""Locks and leases: what waits, what ends the waiting, and what an evictor and a reader see of each other."""

from __future__ import annotations

import errno
import fcntl
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from support import nfs
from support.fake_time import Time
from support.samples import spec
from weightdock.cache import Cache, locks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    return path


@contextmanager
def _somebody_has(path: Path, how: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


@contextmanager
def _forked_child() -> Iterator[None]:
    """A child that has all of this process's open files until the end of the block, as a DataLoader's worker."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        yield
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _refused(_handle: int, _how: int) -> None:
    raise OSError(37, "No locks available")


def test_who_waits_for_a_lock_can_be_told_to_give_up(tmp_path: Path) -> None:
    lock, asked = tmp_path / "lock", []

    def go_on() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt

    before = _open_files()
    with (
        _somebody_has(lock, fcntl.LOCK_EX),
        pytest.raises(KeyboardInterrupt),
        locks.exclusive(lock, "works", go_on),
    ):
        pytest.fail("it is somebody else's")
    assert _open_files() == before


def test_a_lock_is_had_as_soon_as_it_is_free_and_nobody_is_asked_for_one_that_is(tmp_path: Path) -> None:
    lock, waits, free = tmp_path / "lock", Event(), Event()

    def hold() -> None:
        with _somebody_has(lock, fcntl.LOCK_EX):
            free.set()
            assert waits.wait(60)

    holder = Thread(target=hold)
    holder.start()
    assert free.wait(60)
    with locks.exclusive(lock, "works", waits.set):
        holder.join()
        assert locks.leased(lock, unknown=False)
    waits.clear()
    with locks.exclusive(lock, "works", waits.set):
        assert not waits.is_set()


def test_who_waits_long_is_told_once_for_what_and_goes_on_without_a_lock_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passing, told = Time(), list[float]()
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=passing.clock, sleep=passing.sleep))

    def go_on() -> None:
        assert passing.now < 600, "it waits for ever"
        told.extend([passing.now] * len(caplog.messages))

    (tmp_path / ".locks").mkdir()
    before = _open_files()
    with _somebody_has(tmp_path / ".locks" / "toy-alpha", fcntl.LOCK_EX), Cache(tmp_path).lock(spec().model, go_on):
        assert 600 <= passing.now < 601
    assert caplog.messages == [
        "warning: another process of this machine fetches toy/alpha; waiting for it, 600 s at most"
    ]
    assert 10 <= told[0] < 11
    assert _open_files() == before


@pytest.mark.parametrize("lock", [lambda path: locks.exclusive(path, "works", pytest.fail), locks.in_use])
def test_a_lock_ends_with_its_block_whatever_was_forked_in_it(
    file: Path, lock: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with ExitStack() as children:
        with lock(file):
            children.enter_context(_forked_child())
            assert locks.leased(file, unknown=False)
        assert not locks.leased(file, unknown=False)


def _is_not_removed(file: Path) -> None:
    with pytest.raises(PermissionError):
        locks.remove(file)


@pytest.mark.parametrize("look", [lambda path: locks.leased(path, unknown=True), _is_not_removed])
def test_who_looked_has_no_lock_whatever_was_forked_meanwhile(
    file: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object]
) -> None:
    real = fcntl.flock

    def refused(_file: Path, *, missing_ok: bool) -> None:
        raise PermissionError(missing_ok)

    with ExitStack() as children:

        def then_forks(handle: int, how: int) -> None:
            real(handle, how)
            if how & fcntl.LOCK_EX:
                children.enter_context(_forked_child())

        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", then_forks)
            patched.setattr(Path, "unlink", refused)
            look(file)
        assert not locks.leased(file, unknown=True)


def test_where_flock_is_refused_a_lease_is_none_and_leaves_nothing_open(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", _refused)
    before = _open_files()
    assert [locks.lease(file) for _ in range(3)] == [True] * 3
    assert _open_files() == before
    assert [locks.leased(file, unknown=unknown) for unknown in (True, False)] == [True, False]
    with locks.in_use(file), locks.exclusive(file, "works", pytest.fail):
        pass
    assert _open_files() == before


def test_on_nfs_it_is_known_who_has_a_lease_and_what_nobody_has_is_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", nfs.flock)
    with locks.in_use(file):
        assert locks.leased(file, unknown=False)
        assert not locks.remove(file)
    assert not locks.leased(file, unknown=True)
    assert locks.remove(file)
    assert not file.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_that_this_user_may_only_read_is_looked_at_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.open

    def may_read(path: Path, how: int) -> int:
        if how & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(number, os.strerror(number))
        return real(path, how)

    monkeypatch.setattr(os, "open", may_read)
    with locks.in_use(file):
        assert locks.leased(file, unknown=False)
    assert locks.remove(file)


def test_of_many_leases_the_ones_used_last_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_leases", OrderedDict())
    monkeypatch.setattr(locks, "_MOST_LEASES", 2)
    files = [tmp_path / name for name in "abc"]
    before = _open_files()
    for path in files:
        path.touch()
    for path in (*files[:2], files[0], files[2]):
        assert locks.lease(path)
    assert [locks.leased(path, unknown=False) for path in files] == [True, False, True]
    assert _open_files() == before + 2
    for handle in locks._leases.values():
        os.close(handle)


def test_a_lease_waits_for_who_only_looks(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, looker = Time(), ExitStack()
    monkeypatch.setattr(locks, "time", looking)
    looker.enter_context(_somebody_has(file, fcntl.LOCK_EX))
    looking.meanwhile = looker.close
    assert locks.lease(file)
    assert len(looking.slept) == 1
    assert locks.leased(file, unknown=False)
    assert not locks.remove(file)
    assert file.exists()


@pytest.mark.parametrize("there", [True, False])
def test_who_keeps_a_file_locked_keeps_nobody_from_it(file: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    looking, before = Time(), _open_files()
    monkeypatch.setattr(locks, "time", looking)
    if not there:
        looking.meanwhile = file.unlink
    with _somebody_has(file, fcntl.LOCK_EX):
        assert locks.lease(file) is there
    assert 0 < looking.now < 2
    assert _open_files() == before


def test_what_is_removed_while_somebody_asks_for_a_lease_is_told_to_be_gone(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = fcntl.flock, _open_files()

    def flock(handle: int, how: int) -> None:
        if how & fcntl.LOCK_SH:
            file.unlink()  # as an evictor does who has it until now
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not locks.lease(file)
    assert not locks.lease(file)
    assert _open_files() == before


@pytest.mark.parametrize("there", [True, False])
def test_what_nobody_uses_is_removed(file: Path, there: bool) -> None:
    if not there:
        file.unlink()
    assert locks.remove(file)
    assert not file.exists()


@pytest.mark.parametrize("how", [Path.unlink, lambda path: path.rename(path.with_name("other"))])
def test_a_lease_is_of_the_file_that_stands_there_now(file: Path, how: Callable[[Path], object]) -> None:
    assert locks.lease(file)
    how(file)
    file.write_bytes(b"others")
    assert not locks.leased(file, unknown=False)
    assert locks.lease(file)
    assert locks.leased(file, unknown=False)
