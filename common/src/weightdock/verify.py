"""A path and what is expected of it become a :class:`VerifiedFile`, or an error that says what differs.

``upload()`` takes nothing else, so an unverified upload does not type-check.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weightdock.artifact import Digest, ModelId, Provenance
from weightdock.errors import IntegrityError

if TYPE_CHECKING:
    from weightdock.safety import Verdict

_CHUNK_BYTES = 4 * 1024 * 1024


Identity = tuple[int, int, int]
"""Size, mtime in nanoseconds and inode: a file that has the same three has the same bytes, as far as can be known."""


def identity_of(status: os.stat_result) -> Identity:
    """What tells a file from what it was before."""
    return status.st_size, status.st_mtime_ns, status.st_ino


class Expectation(NamedTuple):
    """What somebody who knows says of a file. None where they say nothing; ``advice`` is for a file that differs."""

    said_by: str
    size_bytes: int | None = None
    sha256: Digest | None = None
    advice: str = "find out who changed it, origin or store"


class VerifiedFile(NamedTuple):
    """A file on this machine that is what it should be.

    ``provenance`` and ``verdict``, the safety gate's, are None where a node fetched it: the uploader had them. What has
    another ``identity`` now has been written to since; None where nobody knows it.
    """

    model: ModelId
    path: Path
    size_bytes: int
    sha256: Digest
    provenance: Provenance | None = None
    verdict: Verdict | None = None
    identity: Identity | None = None


def verify(
    model: ModelId,
    path: Path,
    expected: Sequence[Expectation],
    *,
    streamed: Digest | None = None,
    judge: Callable[[Path], Verdict] | None = None,
    load: Callable[[Path], None] | None = None,
    provenance: Provenance | None = None,
) -> VerifiedFile:
    """Check size, sha256, with ``judge`` that it may be loaded, and with ``load`` that a model comes out of it.

    ``streamed`` is the digest that the writer of the file computed while writing; without it the file is read here,
    once. Raises IntegrityError naming both values, and whatever ``judge`` and ``load`` raise; nothing opens a file
    that ``judge`` refuses.
    """
    identity = identity_of(path.stat())
    size = identity[0]
    for expectation in expected:
        if expectation.size_bytes not in (None, size):
            raise _differs(model, "size", f"{size} bytes", f"{expectation.size_bytes} bytes", expectation)
    sha256 = streamed or sha256_of(path)
    for expectation in expected:
        if expectation.sha256 not in (None, sha256):
            raise _differs(model, "sha256", str(sha256), str(expectation.sha256), expectation)
    verdict = judge(path) if judge else None
    if load:
        load(path)
    return VerifiedFile(model, path, size, sha256, provenance, verdict, identity)


def sha256_of(path: Path, go_on: Callable[[], None] = lambda: None) -> Digest:
    """The digest of a file, read once, in bounded memory. ``go_on`` is called meanwhile, and may raise."""
    from hashlib import sha256  # a warm start reads no file

    digest, buffer = sha256(), bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            go_on()
            digest.update(view[:count])
    return Digest(digest.hexdigest())


def _differs(model: ModelId, what: str, found: str, wanted: str, expected: Expectation) -> IntegrityError:
    return IntegrityError(
        f"{model} is not what it should be",
        cause=f"its {what} is {found}, and {expected.said_by} says {wanted}",
        next=f"nothing was kept of it; run again, and if it stays so, {expected.advice}",
    )
