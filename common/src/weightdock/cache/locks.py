"""Locks that save work, and leases that say who uses a file. Both are flock's, and both may lie.

On NFS, Lustre or an old kernel flock may grant everybody the same lock, or be refused altogether. Then, and where who
has one is suspended for long, several processes fetch the same file, each under a name of its own, and the last rename
wins: more work, and nothing wrong.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weightdock.shared_files import FILE_MODE, make_folder, open_to_lock

_PAUSE_SECONDS = 0.1
_SILENT_SECONDS = 10.0
_TRIES = 5

_PATIENCE_SECONDS = 600.0
"""Longer than nearly any fetch. Who has a lock may be suspended, as a job that makes way for another, for days."""

_leases: OrderedDict[Path, int] = OrderedDict()
"""Open files of this process, by path, the one used last at the end: their shared locks end with it."""

_MOST_LEASES = 128
"""A process may open a thousand files, and most of them are its own."""


@contextmanager
def exclusive(path: Path, doing: str, go_on: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at ``path``, waiting for it; without one where the file system has none or is read-only.

    Without one, too, after ``_PATIENCE_SECONDS``. Who waits long is told once what another process is ``doing``.
    ``go_on`` is called again and again while it waits, and what it raises ends that: a thread that waited in the kernel
    would hear of no Ctrl-C.
    """
    handle = None
    try:
        with suppress(OSError):
            make_folder(path.parent)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
            with suppress(OSError):  # another user's, whose mode is right already
                os.fchmod(handle, FILE_MODE)
            _wait_for(handle, doing, go_on)
        yield
    finally:
        if handle is not None:
            _end(handle)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Hold a shared lock on a file that is there, for those who ask whether it is :func:`leased`."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        _end(handle)


def lease(path: Path) -> bool:
    """Hold a shared lock on the file for as long as this process lives, so that nobody evicts it meanwhile.

    Of more than ``_MOST_LEASES`` those that were used longest ago are given up, whose receipts still tell their use.
    False when somebody has. Without a lock, and True, where the file system has none, or another program keeps it.
    """
    held = _leases.pop(path, None)
    if held is not None and _stands(held, path):
        _keep(path, held)
        return True
    if held is not None:
        os.close(held)  # of a file that stood here before
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return path.exists()
    if not _shared(handle):
        os.close(handle)
        return path.exists()
    if not _stands(handle, path):
        os.close(handle)
        return False
    _keep(path, handle)
    return True


def _keep(path: Path, handle: int) -> None:
    """Each step is one of the dictionary's own: threads need no lock, which a fork would leave locked in its child."""
    other = _leases.pop(path, None)  # another thread's, of the same file
    _leases[path] = handle
    if other is not None:
        os.close(other)
    if len(_leases) > _MOST_LEASES:
        os.close(_leases.popitem(last=False)[1])


def leased(path: Path, *, unknown: bool) -> bool:
    """Whether a process of this machine, such as this one, holds a lease; ``unknown`` where nobody can tell."""
    try:
        handle = open_to_lock(path)
    except OSError:
        return False
    try:
        return not _locked(handle)
    except OSError:
        return unknown
    finally:
        _end(handle)


def remove(path: Path) -> bool:
    """Remove the file, but for one that is :func:`leased`. Whether it is gone. Raises OSError."""
    try:
        handle = open_to_lock(path)
    except FileNotFoundError:
        return True
    try:
        if not _locked(handle):
            return False
        path.unlink(missing_ok=True)  # while it is held: who asks for a lease now is told that it is gone
    finally:
        _end(handle)
    return True


def _locked(handle: int) -> bool:
    """Take the exclusive lock, unless somebody else has one. Raises OSError where the file system has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _shared(handle: int) -> bool:
    """Take a shared lock, unless the file system has none, or somebody keeps the exclusive one."""
    for _ in range(_TRIES):  # an evictor has it while it removes the file, and others for a moment
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            return False
        else:
            return True
    return False


def _wait_for(handle: int, doing: str, go_on: Callable[[], None]) -> None:
    began, told = time.monotonic(), False
    while not _locked(handle):
        waited = time.monotonic() - began
        if waited >= _PATIENCE_SECONDS:
            return
        if waited >= _SILENT_SECONDS and not told:
            from logging import getLogger  # a warm start waits for nobody, and has nothing to say

            told, most = True, f"{_PATIENCE_SECONDS:.0f} s at most"
            message = "warning: another process of this machine %s; waiting for it, %s"
            getLogger("weightdock").warning(message, doing, most)
        go_on()
        time.sleep(_PAUSE_SECONDS)


def _end(handle: int) -> None:
    """End the lock, and close. Closing alone does not end it while a child that was forked meanwhile has it open."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _stands(handle: int, path: Path) -> bool:
    """Whether the open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False
