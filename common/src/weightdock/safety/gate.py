"""The gate itself: which format the file has, and whether everything in it may pass."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import IO

from weightdock.errors import IntegrityError
from weightdock.safety import Verdict, archive, legacy, safetensors
from weightdock.safety.allow import ALLOW_LIST_VERSION, allow_list
from weightdock.safety.refusal import RefusalError, shown
from weightdock.safety.walk import Walk

_BEGINNING_BYTES = tarfile.BLOCKSIZE
# POP, POP_MARK, DUP, PUT, READONLY_BUFFER: they need a stack. PERSID: torch takes none that is text.
_NEVER_FIRST = (b"0", b"1", b"2", b"p", b"\x98", b"P")


def check(path: Path, framework: str) -> Verdict:
    """Judge the file for the loader of ``framework``. Reads its pickles and headers, never its tensors.

    Raises IntegrityError with what was found and where, ConfigurationError for a list that is none, and nothing else.
    """
    walk = Walk(allow_list(framework))
    try:
        return _judge(path, walk)
    except RefusalError as refusal:
        raise _refused(path, refusal) from refusal
    except OSError as error:
        raise _refused(path, RefusalError(f"it cannot be read: {error.strerror}")) from error
    # A mistake in here refuses one file; it neither lets it pass nor ends the run of the others.
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise _refused(path, RefusalError(f"it confuses this gate: {type(error).__name__}")) from error


def _judge(path: Path, walk: Walk) -> Verdict:
    if not stat.S_ISREG(path.stat().st_mode):
        raise RefusalError("it is no regular file")  # opening a pipe would wait for whoever writes to it
    with path.open("rb") as file:
        beginning = os.pread(file.fileno(), _BEGINNING_BYTES, 0)
        found = _format(file, beginning, walk)
    return Verdict(found, ALLOW_LIST_VERSION, tuple(sorted(walk.found)))


def _format(file: IO[bytes], beginning: bytes, walk: Walk) -> str:
    """The format of what passes."""
    if not beginning:
        raise RefusalError("it is empty")
    if beginning.startswith(archive.MAGIC):
        found = archive.read(file)
        _follow_one(found, walk)
        archive.check_storages(found, walk.storages)
        return "torch-zip"
    if _is_tar(beginning):
        # torch tries this before pickles. Its safe loader refuses what it finds, and the other one unpickles it.
        raise RefusalError("a tar archive, which no safe loader reads", named=True)
    if safetensors.recognise(beginning):
        safetensors.check(file)
        _refuse_pickle(file, beginning, walk)
        return "safetensors"
    try:
        return "torch-legacy" if legacy.follow(file, walk) else "pickle"
    except RefusalError as refusal:
        if not refusal.named and not beginning.startswith(b"\x80"):
            raise RefusalError(
                f"it is no checkpoint; it begins with {beginning[:16]!r}", where=refusal.where
            ) from refusal
        raise


def _is_tar(beginning: bytes) -> bool:
    """Whether Python takes it for a tar. The oldest kind has no magic, only a checksum, and may begin as a pickle."""
    try:
        tarfile.TarInfo.frombuf(beginning, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _refuse_pickle(file: IO[bytes], beginning: bytes, walk: Walk) -> None:
    """Raises RefusalError unless every unpickler stops in this file before it gets to anything.

    One genuine file in a few hundred looks as if one might not: its header's length reads as the opcode for a text.
    """
    if beginning[:1] in _NEVER_FIRST:
        return
    try:
        value = walk.follow(legacy.window(file), of_torch=False)
    except RefusalError as refusal:
        harmless = refusal.broken
    else:
        harmless = type(value) is not int  # not torch's magic number, after which more pickles would be read
    if not harmless:
        raise RefusalError("safetensors that a loader may read as a pickle, too", named=True)


def _follow_one(found: archive.Archive, walk: Walk) -> None:
    stream = io.BytesIO(found.pickle)
    try:
        walk.follow(stream)
        if stream.tell() != len(found.pickle):
            # A scanner that stops here and a loader that goes on would disagree.
            raise RefusalError("something follows the pickle", where=f"byte {stream.tell()}")
    except RefusalError as refusal:
        raise refusal.within(shown(found.pickle_name)) from None


def _refused(path: Path, refusal: RefusalError) -> IntegrityError:
    if refusal.named:
        advice = "keep it out; if a new version of the framework needs this, add it with a reason to a list in safety/"
    else:
        advice = "nothing was kept of it; run again, and if it stays so, ask the origin's owner"
    return IntegrityError(
        f"{path.name} was refused unopened: {refusal.reason}",
        cause=f"at {refusal.where or 'its beginning'}, by allow-list {ALLOW_LIST_VERSION}",
        next=advice,
    )
