"""Locks that save work, and leases that say who uses a file. Both are flock's, and both may lie.

On NFS, Lustre or an old kernel flock may grant everybody the same lock, or be refused altogether. Then several
processes fetch the same file, each under a name of its own, and the last rename wins: more work, and nothing wrong.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MODE = 0o664

_leases: dict[Path, int] = {}
"""Open files of this process, by path: their shared locks end with it."""


@contextmanager
def exclusive(path: Path, make_folder: Callable[[Path], None]) -> Iterator[None]:
    """Hold the lock at ``path``, waiting for it; without one where the file system has none or is read-only."""
    handle = None
    with suppress(OSError):
        make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, _MODE)
        with suppress(OSError):  # another user's, whose mode is right already
            os.fchmod(handle, _MODE)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def lease(path: Path) -> None:
    """Hold a shared lock on the file for as long as this process lives, so that nobody evicts it meanwhile."""
    with suppress(OSError):
        held = _leases.get(path)
        if held is not None and os.fstat(held).st_ino == path.stat().st_ino:
            return
        handle = os.open(path, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _leases[path] = handle
        if held is not None:
            os.close(held)  # of a file that stood here before


def leased(path: Path) -> bool:
    """Whether a process of this machine, such as this one, holds a lease."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
