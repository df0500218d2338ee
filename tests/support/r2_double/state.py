"""What the double remembers of the bucket, so that its rules can be kept whatever server stands behind it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from support.r2_double.signature import Key

MIB = 1024 * 1024
GIB = 1024 * MIB


class Expect(StrEnum):
    """What becomes of a request with ``Expect: 100-continue``, which R2 does not know."""

    FAIL = "fail"
    """417, at once and on record: the default, so that no client sends one unnoticed."""
    IGNORE = "ignore"
    """No interim answer: the client waits as long as it likes and then sends the body, which is taken."""
    HANG = "hang"
    """No answer at all, until the client gives up."""


@dataclass(frozen=True)
class Limits:
    """R2's numbers. Tests make parts smaller and write rates higher to be quick; a rate of 0 is no limit."""

    min_part_bytes: int = 5 * MIB
    max_parts: int = 10_000
    max_body_bytes: int = 5 * GIB
    max_metadata_bytes: int = 8192
    writes_per_second: float = 1.0
    expect: Expect = Expect.FAIL


@dataclass
class Upload:
    """A multipart upload and the size of each part that arrived."""

    id: str
    bucket: str
    key: str
    parts: dict[int, int]
    closed: bool = False


class State:
    """Thread-safe. Uploads that the double has not seen begin are the upstream server's business."""

    def __init__(self, keys: Iterable[Key], limits: Limits) -> None:
        self.limits = limits
        self.keys = {key.access_key_id: key for key in keys}
        self._lock = Lock()
        self._uploads: dict[str, Upload] = {}
        self._written: dict[str, float] = {}
        self._commit_locks: dict[str, Lock] = {}

    def commit_lock(self, path: str) -> Lock:
        """Held while a condition on this object is looked at and its write is done: moto's server does both apart."""
        with self._lock:
            return self._commit_locks.setdefault(path, Lock())

    def may_write(self, path: str) -> bool:
        """Whether a second's share has passed since the last write of this object that was let through."""
        rate, now = self.limits.writes_per_second, time.monotonic()
        with self._lock:
            last = self._written.get(path)
            if rate and last is not None and now - last < 1 / rate:
                return False
            self._written[path] = now
            return True

    def begin_upload(self, upload: str, bucket: str, key: str) -> None:
        """An upload that the upstream server has opened."""
        with self._lock:
            self._uploads[upload] = Upload(upload, bucket, key, {})

    def add_part(self, upload: str, number: int, size: int) -> None:
        """A part that the upstream server has taken."""
        with self._lock:
            if upload in self._uploads:
                self._uploads[upload].parts[number] = size

    def close_upload(self, upload: str) -> None:
        """Completed, aborted or expired: from now on there is no such upload."""
        with self._lock:
            if upload in self._uploads:
                self._uploads[upload].closed = True

    def upload(self, upload: str) -> Upload | None:
        """What is known of it."""
        with self._lock:
            return self._uploads.get(upload)

    def open_uploads(self, key: str = "") -> list[Upload]:
        """The unfinished ones, of keys that end with ``key``."""
        with self._lock:
            return [one for one in self._uploads.values() if not one.closed and one.key.endswith(key)]
