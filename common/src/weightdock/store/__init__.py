"""Where objects are kept, as the journeys see it. :mod:`weightdock.store.r2` is the one that is real."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from weightdock.artifact import Digest, ObjectKey
from weightdock.events import BytesObserver
from weightdock.verify import VerifiedFile


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing or a HEAD shows it. ``sha256`` is its metadata, which listings do not carry."""

    key: ObjectKey
    size_bytes: int
    etag: str
    sha256: Digest | None = None
    modified: datetime | None = None


@dataclass
class Version:
    """One version of an object that is to be read: the first that is met, and then no other.

    It must have ``size_bytes``. ``etag`` is None until an answer has named it.
    """

    key: ObjectKey
    size_bytes: int
    etag: str | None = None


@dataclass(frozen=True)
class PendingUpload:
    """A multipart upload that was begun and not ended, by whomever."""

    key: ObjectKey
    upload_id: str
    begun: datetime


@dataclass(frozen=True)
class Document:
    """A small object and the ETag of what was read; the ETag is None where there is no object yet."""

    content: bytes
    etag: str | None


class Target(Protocol):
    """Where bytes go as they come from the network. What it raises ends the reading."""

    def room(self) -> memoryview:
        """Where the next of them go: for one at least."""

    def came(self, count: int) -> None:
        """Hear that so many are in the beginning of that."""


class ObjectStore(Protocol):
    """What weightdock needs of a bucket. Every method raises StoreError when the store refuses or cannot be reached."""

    def objects(self, prefix: str) -> dict[ObjectKey, StoredObject]:
        """Every object under ``prefix``: one request per thousand."""

    def head(self, key: ObjectKey) -> StoredObject | None:
        """One object, with its metadata; None when there is none."""

    def put_file(self, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None = None) -> bool:
        """Create the object from ``file``, or replace the one that has the ETag ``replacing``.

        False when somebody else had put the same bytes there. Raises IntegrityError when they put something else.
        """

    def holds(self, file: VerifiedFile, key: ObjectKey) -> bool:
        """Whether the object is there, as the same bytes as ``file``. Raises IntegrityError when it is others."""

    def sha256_of(self, key: ObjectKey, received: BytesObserver) -> Digest:
        """Read every byte of the object, and give their digest. Raises KeyboardInterrupt after :meth:`stop`."""

    def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
        """Put the ``length`` bytes from ``start`` on into ``target``, and have ``version`` know its ETag before that.

        They come in order, each once: an answer that breaks off is gone on with where it did. Raises IntegrityError
        when the object has another size, StoreError when it, or that version of it, is not there, and what ``target``
        raises.
        """

    def read_document(self, key: ObjectKey) -> Document:
        """A small object; empty, with no ETag, when there is none."""

    def write_document(self, key: ObjectKey, content: bytes, replacing: str | None) -> bool:
        """Compare-and-swap: write if the object's ETag is still ``replacing`` (None: if there is no object).

        False when it is not.
        """

    def delete(self, found: StoredObject) -> bool:
        """Delete the object, if it is still what was ``found``. False when it is not."""

    def pending(self, prefix: str) -> tuple[PendingUpload, ...]:
        """Multipart uploads under ``prefix`` that nobody ended, but for those that this cache would go on with."""

    def abort(self, upload: PendingUpload) -> None:
        """End one and drop its parts. One that is gone already is none to complain of."""

    def stop(self) -> None:
        """Let no file or part begin any more: who would send one gets a KeyboardInterrupt in its thread."""
