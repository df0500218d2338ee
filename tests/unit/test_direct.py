"""Files that go to the disk past the page cache, and as others do where that cannot be."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import pytest

from weightdock.node.direct import BLOCK_BYTES, DirectFile

CONTENT = random.Random("direct").randbytes(5 * BLOCK_BYTES + 100)


def in_a_block(content: bytes) -> memoryview:
    memory = mmap(-1, len(content))
    memory[:] = content
    return memoryview(memory)


def write(path: Path, piece: Callable[[bytes], memoryview]) -> list[tuple[int, bool]]:
    """Write it as three pieces. Of each call to the system: how many bytes were given, and whether past the cache."""
    calls, through = [], os.write
    path.touch()

    def noted(handle: int, content: memoryview) -> int:
        calls.append((len(content), bool(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECT)))
        return through(handle, content)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", noted)
        with DirectFile(path) as file:
            for start, end in ((0, 2), (2, 4), (4, 6)):
                file.write(piece(CONTENT[start * BLOCK_BYTES : end * BLOCK_BYTES]))
    assert path.read_bytes() == CONTENT
    return calls


def test_whole_blocks_go_past_the_page_cache_and_the_rest_does_not(tmp_path: Path) -> None:
    calls = write(tmp_path / "file", in_a_block)
    assert calls == [(2 * BLOCK_BYTES, True), (2 * BLOCK_BYTES, True), (BLOCK_BYTES, True), (100, False)]


def test_a_disk_of_larger_blocks_is_written_to_as_any_other(tmp_path: Path) -> None:
    """Which says so as it does of memory that begins in the midst of a block."""
    calls = write(tmp_path / "file", lambda content: in_a_block(b"-" + content)[1:])
    assert calls[:2] == [(2 * BLOCK_BYTES, True), (2 * BLOCK_BYTES, False)]
    assert not any(past for _, past in calls[1:])


def test_a_file_system_that_knows_nothing_of_it_is_written_to_as_any_other(tmp_path: Path) -> None:
    asked, through = [], fcntl.fcntl
    (tmp_path / "file").touch()

    def refusing(handle: int, what: int, flags: int = 0) -> int:
        asked.append(flags & os.O_DIRECT)
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return through(handle, what, flags)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fcntl, "fcntl", refusing)
        with DirectFile(tmp_path / "file") as file:
            file.write(in_a_block(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert os.O_DIRECT in asked


def test_what_the_disk_refuses_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with DirectFile(tmp_path / "file") as file, pytest.MonkeyPatch.context() as patched:

        def full(_handle: int, _content: memoryview) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            file.write(in_a_block(CONTENT))


def test_a_file_that_somebody_cleared_away_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DirectFile(tmp_path / "file")
