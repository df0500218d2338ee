"""A file in parts: resumed where an earlier run stopped, and visible only when it is complete.

Parts are equal but for the last, as R2 demands. What an earlier run sent is believed part by part: R2 lists each
part's size and MD5 (its ETag), and only parts that are the same bytes here are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from weightdock.artifact import ObjectKey
from weightdock.events import BytesObserver
from weightdock.store.bucket import CONFLICT, GONE, Bucket
from weightdock.store.pace import SLOTS
from weightdock.store.unfinished import Begun, Unfinished
from weightdock.verify import VerifiedFile

if TYPE_CHECKING:
    from hashlib import _Hash

    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

SINGLE_PUT_BYTES = 100_000_000
"""Up to here one PUT, which costs one operation where parts cost three or more."""

PART_BYTES = 16 * 1024 * 1024
"""Size of every part but the last, unless 10,000 of them are too few; R2 allows 5 MiB to 5 GiB."""

_MAX_PARTS = 10_000


def part_bytes(size: int) -> int:
    """How large each part but the last of a file of ``size`` bytes is."""
    return max(PART_BYTES, -(-size // _MAX_PARTS))


def put_operations(size: int) -> int:
    """How many class A operations it takes to store a file of ``size`` bytes."""
    return 1 if size <= SINGLE_PUT_BYTES else 2 + -(-size // part_bytes(size))


def condition(replacing: str | None) -> dict[str, str]:
    """The header that lets a write replace the object with the ETag ``replacing`` (None: nothing), and no other."""
    return {"if-none-match": "*"} if replacing is None else {"if-match": replacing}


class _UploadGone(Exception):  # noqa: N818  # not an error: it is begun anew
    """It expired, or somebody aborted or completed it."""


@dataclass(frozen=True)
class Part:
    """One part: its number from 1, and where in the file it is."""

    number: int
    offset: int
    length: int


def parts_of(size: int, length: int) -> Iterator[Part]:
    """All parts of a file of ``size`` bytes, each of ``length`` but the last."""
    for number, offset in enumerate(range(0, size, length), start=1):
        yield Part(number, offset, min(length, size - offset))


class Multipart:
    """Uploads one file to one key. ``replacing`` is the ETag of what it may replace; None: nothing."""

    def __init__(
        self, bucket: Bucket, unfinished: Unfinished, file: VerifiedFile, key: ObjectKey, replacing: str | None
    ) -> None:
        self._bucket = bucket
        self._unfinished = unfinished
        self._file = file
        self._key = key
        self._replacing = replacing
        self._part_bytes = part_bytes(file.size_bytes)

    def put(self, metadata: dict[str, str], sent: BytesObserver) -> bool:
        """Send what is missing and complete. False when the condition does not hold any more, or the upload is gone.

        Raises StoreError; then what was sent stays, for the next run to go on with.
        """
        with self._unfinished.at_work(self._key):
            begun, there = self._resume() or (self._begin(metadata), {})
            try:
                completed = self._complete(begun.upload_id, self._send(begun.upload_id, there, sent))
            except _UploadGone:
                completed = False
            self._unfinished.forget(self._key)
        if not completed:
            self._abort(begun.upload_id)
        return completed

    def _resume(self) -> tuple[Begun, dict[int, str]] | None:
        """The upload of an earlier run, and the ETags of the parts that it sent; None when there is none."""
        begun = self._unfinished.take(self._key)
        if begun is None or begun != self._record(begun.upload_id):
            return None
        pages = partial(
            self._bucket.client.get_paginator("list_parts").paginate,
            Bucket=self._bucket.name,
            Key=self._key,
            UploadId=begun.upload_id,
        )

        def listed() -> dict[int, str]:
            return {part["PartNumber"]: part["ETag"] for page in pages() for part in page.get("Parts", [])}

        there = self._bucket.ask_unless(GONE, f"list the parts of {self._key}", listed)
        return None if there is None else (begun, there)

    def _begin(self, metadata: dict[str, str]) -> Begun:
        begin = partial(self._bucket.client.create_multipart_upload, Bucket=self._bucket.name, Key=self._key)
        upload_id = self._bucket.ask(f"begin {self._key}", lambda: begin(Metadata=metadata)["UploadId"])
        begun = self._record(upload_id)
        self._unfinished.keep(self._key, begun)
        return begun

    def _record(self, upload_id: str) -> Begun:
        return Begun(upload_id, self._file.sha256.hex, self._file.size_bytes, self._part_bytes, self._replacing)

    def _send(self, upload_id: str, there: dict[int, str], sent: BytesObserver) -> list[CompletedPartTypeDef]:
        done, lock = 0, Lock()

        def one(part: Part) -> CompletedPartTypeDef:
            nonlocal done
            with self._bucket.pace.slot():
                etag = self._send_part(upload_id, part, there.get(part.number))
            with lock:
                done += part.length
                sent(done)
            return {"PartNumber": part.number, "ETag": etag}

        pool = ThreadPoolExecutor(SLOTS)
        try:
            return list(pool.map(one, parts_of(self._file.size_bytes, self._part_bytes)))
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure the parts that wait would fail one by one

    def _send_part(self, upload_id: str, part: Part, there: str | None) -> str:
        from weightdock.store.data_plane import Body, Section

        content = Section(self._file.path, part.offset, part.length, self._file.identity)
        if there and there.strip('"') == _hex(content, hashlib.md5(usedforsecurity=False)):
            return there
        body = Body(content, part.length, _hex(content, hashlib.sha256()))
        query = {"partNumber": str(part.number), "uploadId": upload_id}

        def request() -> str:
            return self._bucket.data.put(f"{self._bucket.name}/{self._key}", body, {}, query)

        etag = self._bucket.ask_unless(GONE, f"take part {part.number} of {self._key}", request)
        if etag is None:
            raise _UploadGone
        return etag

    def _abort(self, upload_id: str) -> None:
        """Drop the parts of an upload that nobody is going to complete. R2 does so itself; other servers keep them."""
        abort = partial(self._bucket.client.abort_multipart_upload, Bucket=self._bucket.name, Key=self._key)
        self._bucket.ask_unless(GONE, f"abort {self._key}", lambda: abort(UploadId=upload_id))

    def _complete(self, upload_id: str, parts: list[CompletedPartTypeDef]) -> bool:
        complete = partial(
            self._bucket.client.complete_multipart_upload,
            Bucket=self._bucket.name,
            Key=self._key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
        )

        def conditional() -> bool:
            complete(IfNoneMatch="*") if self._replacing is None else complete(IfMatch=self._replacing)
            return True

        # NoSuchUpload: an answer got lost and the upload is complete, or somebody with our cache completed it.
        return self._bucket.ask_unless(CONFLICT + GONE, f"complete {self._key}", conditional) or False


def _hex(content: Iterable[bytes], digest: _Hash) -> str:
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()
