"""Which multipart uploads of this machine were begun and not ended: one small file each, in the cache.

::

    <WEIGHTDOCK_CACHE>/.uploads/<sha256 of endpoint, bucket and key>.json

A run that was killed leaves its file, and the next one goes on with that upload; while its run lives, a file is locked,
and others begin an upload of their own. R2 forgets unfinished uploads after
seven days (https://developers.cloudflare.com/r2/objects/multipart-objects/), so a file may name one that is gone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from weightdock.errors import StoreError
from weightdock.shared_files import make_folder, open_to_lock, unique, write


@dataclass(frozen=True)
class Begun:
    """An upload that was begun: of which bytes, in parts of which size."""

    upload_id: str
    sha256: str
    size_bytes: int
    part_bytes: int
    replacing: str | None


class Unfinished:
    """The records of one bucket in ``folder``. One that cannot be read counts as none: then the upload begins anew."""

    def __init__(self, folder: Path, endpoint: str, bucket: str) -> None:
        self._folder = folder
        self._place = f"{endpoint}\n{bucket}"
        self._locked: dict[str, int] = {}

    def find(self, key: str) -> Begun | None:
        """What was begun under ``key``."""
        try:
            begun = Begun(**json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return begun if isinstance(begun.upload_id, str) else None

    def take(self, key: str) -> Begun | None:
        """What was begun under ``key`` by a run that is no more: this one goes on with it."""
        begun = self.find(key)
        with suppress(FileNotFoundError):  # its run has ended just now
            return begun if begun and self._lock(key) else None
        return None

    def keep(self, key: str, begun: Begun) -> None:
        """Remember it. Raises StoreError."""
        path = self._path(key)
        try:
            make_folder(self._folder)
            write(path, json.dumps(asdict(begun)), path.with_name(f"{path.name}.{unique()}"))
            self._lock(key)
        except OSError as error:
            raise StoreError(
                f"the cache did not take the record of {key}",
                cause=str(error),
                next="see to the disk (df -h) and to who may write to WEIGHTDOCK_CACHE, then run again",
            ) from error

    def forget(self, key: str) -> None:
        """It has ended, or is gone. What another run has begun under the same key is not forgotten.

        A record that stays for all that is of an upload that nobody finds.
        """
        with suppress(OSError):
            if self._lock(key):
                self._path(key).unlink()

    @contextmanager
    def at_work(self, key: str) -> Iterator[None]:
        """Afterwards others may take what was begun, whether it was in the block or before."""
        try:
            yield
        finally:
            if handle := self._locked.pop(key, None):
                os.close(handle)

    def _lock(self, key: str) -> bool:
        """Hold the record. False when another does. Raises OSError."""
        held, handle = self._locked.get(key), open_to_lock(self._path(key))
        if held is not None and os.path.samestat(os.fstat(held), os.fstat(handle)):
            os.close(handle)
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # or there are no locks: then two runs may send the same parts, and one is refused
            os.close(handle)
            return not isinstance(error, BlockingIOError)
        if held is not None:  # of the record before
            os.close(held)
        self._locked[key] = handle
        return True

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._place}\n{key}".encode()).hexdigest()
        return self._folder / f"{name}.json"
