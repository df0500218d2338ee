"""A file that goes to the disk past the page cache.

A node that is being filled reads nothing of what it writes. Kept in memory on the way, every byte would be copied once
more into a page that has to be found for it, which can cost as much as all the rest (docs/benchmarks), would push out
what the node's jobs have there, and would reach the disk late, in the fsync.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

BLOCK_BYTES = 4096
"""What is written past the page cache begins at a multiple of it, in memory and in the file, and is one (open(2))."""

_PAST_THE_CACHE = getattr(os, "O_DIRECT", 0)


class DirectFile:
    """An empty file, written from its beginning on; a context manager. Methods raise OSError.

    A file system that knows nothing of this (old tmpfs, some of FUSE) is written to as any other.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY)
        self._direct = False
        with suppress(OSError):
            self._set(direct=bool(_PAST_THE_CACHE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def write(self, piece: memoryview) -> None:
        """Write all of it. Only a file's last piece may have less than whole blocks."""
        whole = len(piece) // BLOCK_BYTES * BLOCK_BYTES
        self._write(piece[:whole])
        if whole < len(piece):
            self._set(direct=False)
            self._write(piece[whole:])

    def _write(self, piece: memoryview) -> None:
        while piece:
            try:
                written = os.write(self._handle, piece)
            except OSError as error:
                if not (self._direct and error.errno == errno.EINVAL):
                    raise
                self._set(direct=False)  # larger blocks, or what a full disk has left of one: then this says so
            else:
                piece = piece[written:]

    def _set(self, *, direct: bool) -> None:
        flags = fcntl.fcntl(self._handle, fcntl.F_GETFL)
        fcntl.fcntl(self._handle, fcntl.F_SETFL, flags | _PAST_THE_CACHE if direct else flags & ~_PAST_THE_CACHE)
        self._direct = direct
