"""flock as Linux has it on NFS, where it is a lock of bytes on the server."""

from __future__ import annotations

import errno
import fcntl
import os

_real = fcntl.flock


def flock(handle: int, how: int) -> None:
    """Who may not write gets no exclusive lock; see flock(2)."""
    if how & fcntl.LOCK_EX and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    _real(handle, how)
