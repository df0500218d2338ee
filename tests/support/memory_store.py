"""A bucket in a dict: it answers as an ObjectStore should, counts its requests, and refuses what it is told to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event, RLock

from support.samples import digest
from weightdock.artifact import Digest, ObjectKey
from weightdock.errors import IntegrityError, StoreError, WeightdockError
from weightdock.events import BytesObserver
from weightdock.store import Document, PendingUpload, StoredObject, Target, Version
from weightdock.verify import VerifiedFile


@dataclass(frozen=True)
class _Kept:
    shown: StoredObject
    content: bytes


def put(content: bytes, target: Target) -> int:
    """Put of it what there is room for. How much that is."""
    room = target.room()
    count = min(len(content), len(room))
    room[:count] = content[:count]
    target.came(count)
    return count


class MemoryStore:
    """``requests`` is every request in order; ``refusals`` maps such a request to the error it meets, until removed."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.unfinished: list[PendingUpload] = []
        self.refusals: dict[str, WeightdockError] = {}
        self._kept: dict[ObjectKey, _Kept] = {}
        self._versions = 0
        self.stopped = Event()
        self._lock = RLock()

    def keep(
        self, key: ObjectKey, content: bytes, sha256: Digest | None = None, modified: datetime | None = None
    ) -> None:
        """Put an object there as somebody else would."""
        with self._lock:
            self._versions += 1
            self._kept[key] = _Kept(StoredObject(key, len(content), f'"v{self._versions}"', sha256, modified), content)

    def pretend_size(self, key: ObjectKey, size_bytes: int) -> None:
        """Say that an object is so large."""
        self._kept[key] = replace(self._kept[key], shown=replace(self._kept[key].shown, size_bytes=size_bytes))

    def lose(self, key: ObjectKey) -> None:
        """Take an object away as somebody else would."""
        del self._kept[key]

    def contents(self) -> dict[str, bytes]:
        """Every object's bytes, by key."""
        return {str(key): kept.content for key, kept in self._kept.items()}

    def objects(self, prefix: str) -> dict[ObjectKey, StoredObject]:
        self._hear("objects", prefix)
        return {
            key: replace(kept.shown, sha256=None) for key, kept in sorted(self._kept.items()) if key.startswith(prefix)
        }

    def head(self, key: ObjectKey) -> StoredObject | None:
        self._hear("head", key)
        return self._kept[key].shown if key in self._kept else None

    def put_file(self, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None = None) -> bool:
        self._hear("put_file", key)
        with self._lock:
            created = self._etag(key) == replacing
            if created:
                self.keep(key, file.path.read_bytes(), file.sha256)
        if not created:
            self._compare(file, key)
        sent(file.size_bytes)
        return created

    def holds(self, file: VerifiedFile, key: ObjectKey) -> bool:
        self._hear("holds", key)
        if key in self._kept:
            self._compare(file, key)
        return key in self._kept

    def sha256_of(self, key: ObjectKey, received: BytesObserver) -> Digest:
        self._hear("sha256_of", key)
        content = self._kept[key].content
        received(len(content))
        return digest(content)

    def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
        self._hear("read_range", version.key)
        kept = self._kept.get(version.key)
        if kept is None or version.etag not in (None, kept.shown.etag):
            raise StoreError(f"{version.key} is not there", cause="somebody else was here", next="run again")
        if kept.shown.size_bytes != version.size_bytes:
            size = f"its size is {kept.shown.size_bytes} bytes, and the manifest says {version.size_bytes}"
            raise IntegrityError(
                f"{version.key} is not what it should be", cause=size, next="nothing was kept of it; find out why"
            )
        version.etag = kept.shown.etag
        self.give(kept.content[start : start + length], target)

    def give(self, content: bytes, target: Target) -> None:
        """Put it there, as much at a time as there is room for."""
        while content:
            content = content[put(content, target) :]

    def read_document(self, key: ObjectKey) -> Document:
        self._hear("read_document", key)
        kept = self._kept.get(key)
        return Document(kept.content, kept.shown.etag) if kept else Document(b"", None)

    def write_document(self, key: ObjectKey, content: bytes, replacing: str | None) -> bool:
        self._hear("write_document", key)
        with self._lock:
            if self._etag(key) != replacing:
                return False
            self.keep(key, content)
            return True

    def delete(self, found: StoredObject) -> bool:
        self._hear("delete", found.key)
        with self._lock:
            same = self._etag(found.key) == found.etag
            if same:
                del self._kept[found.key]
            return same

    def stop(self) -> None:
        self.stopped.set()

    def pending(self, prefix: str) -> tuple[PendingUpload, ...]:
        self._hear("pending", prefix)
        return tuple(one for one in self.unfinished if one.key.startswith(prefix))

    def abort(self, upload: PendingUpload) -> None:
        self._hear("abort", upload.key)
        self.unfinished.remove(upload)

    def _etag(self, key: ObjectKey) -> str | None:
        return self._kept[key].shown.etag if key in self._kept else None

    def _compare(self, file: VerifiedFile, key: ObjectKey) -> None:
        if digest(self._kept[key].content) != file.sha256:
            raise IntegrityError(f"{key} is something else", cause="its bytes differ", next="find out why")

    def _hear(self, request: str, about: str) -> None:
        self.requests.append(f"{request} {about}")
        if error := self.refusals.get(f"{request} {about}"):
            raise error
