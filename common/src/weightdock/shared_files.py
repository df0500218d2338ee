"""Files and folders that several users of one group share, whatever their umasks say."""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EACCES, EPERM, EROFS
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o2775, 0o664


def unique() -> str:
    """For a name that nobody else has."""
    return os.urandom(8).hex()


def write(path: Path, text: str, temporary: Path) -> None:
    """Have all of ``text`` at ``path``, or what was there before. Raises OSError; then ``temporary`` is gone, too."""
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(FILE_MODE)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_to_lock(path: Path) -> int:
    """A handle that may be locked. Raises OSError.

    NFS gives an exclusive lock only to one that may write, and elsewhere one that may read will do.
    """
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
    return os.open(path, os.O_RDONLY)


def make_folder(folder: Path) -> None:
    """Have it and its parents; those that are new are the group's too, whatever the umask says."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(FOLDER_MODE)
    if not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(folder))
