"""Cloudflare R2 as an :class:`weightdock.store.ObjectStore`.

A small file is one conditional PUT, a larger one goes in parts (:mod:`weightdock.store.multipart`). A 412 means that
somebody else was first: then the digests are compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from weightdock.artifact import Digest, ObjectKey
from weightdock.errors import IntegrityError, StoreError
from weightdock.events import BytesObserver
from weightdock.settings import Settings
from weightdock.store import Document, PendingUpload, StoredObject, Target, Version
from weightdock.store.bucket import ABSENT, CONFLICT, GONE, TOO_OFTEN, Bucket
from weightdock.store.multipart import SINGLE_PUT_BYTES, Multipart, condition
from weightdock.store.pace import Pace
from weightdock.store.unfinished import Unfinished
from weightdock.verify import VerifiedFile

_MD5 = re.compile(r"[0-9a-f]{32}")
_CONTENT_RANGE = re.compile(r"bytes (?P<start>[0-9]{1,20})-[0-9]{1,20}/(?P<size>[0-9]{1,20})")
_PIECE_BYTES = 256 * 1024  # of an answer, before somebody hears of it
_LARGEST_DOCUMENT = 64 * 1024 * 1024  # a manifest of all that timm has is a tenth of it
_TRIES = 2  # an upload that is gone before it is complete is begun anew, once


class R2Store:
    """One bucket, and the records of unfinished uploads in the cache of ``settings``."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        """Raise ConfigurationError without credentials."""
        self._bucket = Bucket(settings, pace)
        self._unfinished = Unfinished(settings.cache / ".uploads", self._bucket.endpoint, self._bucket.name)

    def objects(self, prefix: str) -> dict[ObjectKey, StoredObject]:
        """See :class:`weightdock.store.ObjectStore`."""
        from weightdock.store.listing import Page
        from weightdock.store.refusals import Senseless

        found: dict[ObjectKey, StoredObject] = {}
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}

        def request() -> Page:
            with self._bucket.data.get(self._bucket.name, query) as answer:
                page = Page.read(answer.read())
            if page.next and page.next == query.get("continuation-token"):
                raise Senseless("its listing has no end")
            return page

        while True:
            page = self._bucket.ask(f"list {prefix}", request)
            found |= {one.key: one for one in page.objects}
            if page.next is None:
                return found
            query["continuation-token"] = page.next

    def head(self, key: ObjectKey) -> StoredObject | None:
        """See :class:`weightdock.store.ObjectStore`."""

        def request() -> StoredObject:
            with self._bucket.data.head(self._path(key)) as answer:
                size, etag = _described(answer.headers, key)
                sha256 = None
                with suppress(IntegrityError):  # anybody may have put it there: what is no digest says nothing
                    sha256 = Digest.parse(answer.headers.get("x-amz-meta-sha256", ""))
                return StoredObject(key, size, etag, sha256)

        return self._bucket.ask_unless(ABSENT, f"show {key}", request)

    def put_file(self, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None = None) -> bool:
        """See :class:`weightdock.store.ObjectStore`."""
        for _ in range(_TRIES):
            created = self._create(file, key, sent, replacing)
            if created or self.holds(file, key):
                sent(file.size_bytes)
                return created
        removed = replacing is not None and self.head(key) is None
        raise StoreError(
            f"the store did not keep {key}",
            cause="what it was to replace was removed meanwhile"
            if removed
            else "its upload was ended by somebody else, or had expired, each time before it was complete",
            next="run again without --force"
            if removed
            else "run again; if it stays so, find out what aborts uploads in this bucket",
        )

    def holds(self, file: VerifiedFile, key: ObjectKey) -> bool:
        """See :class:`weightdock.store.ObjectStore`. Reads the object only where it does not carry its digest."""
        found = self.head(key)
        if found is None:
            return False
        same_size = found.size_bytes == file.size_bytes
        sha256 = same_size and (found.sha256 or self.sha256_of(key, lambda _: None))
        if sha256 != file.sha256:
            raise IntegrityError(
                f"{file.model} stands in the store as something else",
                cause=f"{key} has {f'sha256 {sha256}' if sha256 else 'another size'}, this file sha256 {file.sha256}",
                next="nothing was overwritten; find out who put it there",
            )
        return True

    def sha256_of(self, key: ObjectKey, received: BytesObserver) -> Digest:
        """See :class:`weightdock.store.ObjectStore`."""

        def request() -> Digest:
            digest, count, room = hashlib.sha256(), 0, memoryview(bytearray(_PIECE_BYTES))
            with self._bucket.data.get(self._path(key)) as answer:
                while came := answer.receive(room):
                    self._bucket.pace.go_on()
                    digest.update(room[:came])
                    count += came
                    received(count)
            return Digest(digest.hexdigest())

        return self._bucket.ask(f"give {key}", request)

    def read_range(self, version: Version, start: int, length: int, target: Target) -> None:
        """See :class:`weightdock.store.ObjectStore`."""
        from weightdock.store.refusals import BrokenOff, Refused

        end = start + length

        def request() -> bool:
            nonlocal start
            headers = {"Range": f"bytes={start}-{end - 1}"} | ({"If-Match": version.etag} if version.etag else {})
            try:
                with self._bucket.data.get(self._path(version.key), headers=headers) as answer:
                    version.etag = _pinned(answer.headers, version, start, end)
                    while start < end:  # to the end, or the connection could not be used again
                        came = answer.receive(target.room()[: min(_PIECE_BYTES, end - start)])
                        if not came:  # of an answer in chunks, which has no length of its own
                            raise BrokenOff(f"{end - start} bytes were still to come")
                        start += came
                        target.came(came)
            except Refused as refused:
                if refused.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    raise _of_another_size(version, f"less than {end}") from refused
                raise
            return True

        if not self._bucket.ask_unless(CONFLICT + ABSENT, f"give {version.key}", request):
            raise StoreError(
                f"the store did not give {version.key}",
                cause="somebody replaced or removed it while it was read" if version.etag else "it is not there",
                next="run again; what is read is one version or nothing"
                if version.etag
                else f"upload it again: make upload/{version.key.split('/')[-2]}",
            )

    def read_document(self, key: ObjectKey) -> Document:
        """See :class:`weightdock.store.ObjectStore`."""
        from weightdock.store.refusals import BrokenOff

        def request() -> Document:
            with self._bucket.data.get(self._path(key)) as answer:
                size, etag = _described(answer.headers, key)
                if size > _LARGEST_DOCUMENT:
                    raise _too_large(key, size)
                content = answer.read()
            # A document was one PUT, whose ETag is its MD5: what was damaged on the way must not be merged and written.
            md5 = etag.strip('"')
            if _MD5.fullmatch(md5) and md5 != hashlib.md5(content, usedforsecurity=False).hexdigest():
                raise BrokenOff(f"the bytes of {key} are not those of its ETag")
            return Document(content, etag)

        return self._bucket.ask_unless(ABSENT, f"give {key}", request) or Document(b"", None)

    def write_document(self, key: ObjectKey, content: bytes, replacing: str | None) -> bool:
        """See :class:`weightdock.store.ObjectStore`."""
        from weightdock.store.data_plane import Body

        headers = condition(replacing) | {"content-type": "application/json"}

        def conditional() -> bool:
            self._bucket.data.put(self._path(key), Body.of(content), headers)
            return True

        # ABSENT: what was to be replaced is not there any more. TOO_OFTEN: somebody wrote it within this second, so
        # what was read is stale.
        return self._bucket.ask_unless(CONFLICT + ABSENT + TOO_OFTEN, f"take {key}", conditional) or False

    def delete(self, found: StoredObject) -> bool:
        """See :class:`weightdock.store.ObjectStore`. R2 deletes unconditionally, so this looks first."""
        now = self.head(found.key)
        if now is None or now.etag.strip('"') != found.etag.strip('"'):  # rclone quotes it in one of the two answers
            return False
        delete = partial(self._bucket.client.delete_object, Bucket=self._bucket.name, Key=found.key)
        self._bucket.ask(f"delete {found.key}", delete)
        return True

    def pending(self, prefix: str) -> tuple[PendingUpload, ...]:
        """See :class:`weightdock.store.ObjectStore`."""

        def request() -> tuple[PendingUpload, ...]:
            listing = self._bucket.client.get_paginator("list_multipart_uploads")
            pages = listing.paginate(Bucket=self._bucket.name, Prefix=prefix)
            found = [one for page in pages for one in page.get("Uploads", [])]
            return tuple(PendingUpload(ObjectKey(one["Key"]), one["UploadId"], one["Initiated"]) for one in found)

        return tuple(
            one
            for one in self._bucket.ask(f"list the unfinished uploads of {prefix}", request)
            if (ours := self._unfinished.find(one.key)) is None or ours.upload_id != one.upload_id
        )

    def abort(self, upload: PendingUpload) -> None:
        """See :class:`weightdock.store.ObjectStore`."""
        abort = partial(self._bucket.client.abort_multipart_upload, Bucket=self._bucket.name, Key=upload.key)
        self._bucket.ask_unless(GONE, f"abort {upload.key}", lambda: abort(UploadId=upload.upload_id))

    def stop(self) -> None:
        """See :class:`weightdock.store.ObjectStore`."""
        self._bucket.pace.stop()

    def _path(self, key: ObjectKey) -> str:
        return f"{self._bucket.name}/{key}"

    def _create(self, file: VerifiedFile, key: ObjectKey, sent: BytesObserver, replacing: str | None) -> bool:
        metadata = {"sha256": file.sha256.hex, "size": str(file.size_bytes)}
        if file.size_bytes > SINGLE_PUT_BYTES:
            return Multipart(self._bucket, self._unfinished, file, key, replacing).put(metadata, sent)
        from weightdock.store.data_plane import Body, Section

        headers = condition(replacing) | {f"x-amz-meta-{name}": value for name, value in metadata.items()}

        # What the store compares on arrival is the digest that was verified: a file that somebody wrote to since is
        # refused.
        body = Body(Section(file.path, 0, file.size_bytes, file.identity), file.size_bytes, file.sha256.hex)

        def whole() -> bool:
            self._bucket.data.put(self._path(key), body, headers)
            return True

        with self._bucket.pace.slot():
            return self._bucket.ask_unless(CONFLICT + ABSENT, f"take {key}", whole) or False


def _described(headers: Mapping[str, str], key: ObjectKey) -> tuple[int, str]:
    """Size in bytes and ETag."""
    from weightdock.store.refusals import Senseless

    try:
        return int(headers["content-length"]), headers["etag"]
    except (KeyError, ValueError) as error:
        raise Senseless(f"its answer with {key} has no size or no ETag") from error


def _pinned(headers: Mapping[str, str], version: Version, start: int, end: int) -> str:
    """The ETag of an answer with the bytes that were asked for. Raises IntegrityError for an object of another size."""
    from weightdock.store.refusals import BrokenOff, Senseless

    length, etag = _described(headers, version.key)
    given = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if given is None:
        raise Senseless("it gives no ranges of an object, or something between takes them out of what we ask")
    if int(given["size"]) != version.size_bytes:
        raise _of_another_size(version, given["size"])
    if (int(given["start"]), length) != (start, end - start):
        raise BrokenOff(f"it had other bytes of {version.key} than were asked for")
    return etag


def _of_another_size(version: Version, size: str) -> IntegrityError:
    return IntegrityError(
        f"{version.key} is not what it should be",
        cause=f"its size is {size} bytes, and the manifest says {version.size_bytes}",
        next="nothing was kept of it; find out who put it there (`weightdock verify --deep`)",
    )


def _too_large(key: ObjectKey, size: int) -> StoreError:
    return StoreError(
        f"{key} is malformed",
        cause=f"it has {size} bytes, and a manifest has at most {_LARGEST_DOCUMENT}",
        next=f"find out who wrote it; delete it: then make upload/{key.split('/')[-2]} writes it anew",
    )
