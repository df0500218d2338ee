"""A request as S3 understands it: which operation on which key, and what R2 charges for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from urllib.parse import unquote


class Cost(StrEnum):
    """The three prices of https://developers.cloudflare.com/r2/pricing/."""

    A = "A"
    B = "B"
    FREE = "free"


class Operation(StrEnum):
    """S3's names, as boto3 and R2's documentation write them."""

    PUT_OBJECT = "PutObject"
    COPY_OBJECT = "CopyObject"
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    DELETE_OBJECT = "DeleteObject"
    DELETE_OBJECTS = "DeleteObjects"
    LIST_OBJECTS = "ListObjects"
    CREATE_UPLOAD = "CreateMultipartUpload"
    UPLOAD_PART = "UploadPart"
    COMPLETE_UPLOAD = "CompleteMultipartUpload"
    ABORT_UPLOAD = "AbortMultipartUpload"
    LIST_PARTS = "ListParts"
    LIST_UPLOADS = "ListMultipartUploads"
    HEAD_BUCKET = "HeadBucket"
    CREATE_BUCKET = "CreateBucket"
    DELETE_BUCKET = "DeleteBucket"
    LIST_BUCKETS = "ListBuckets"
    OTHER = "other"


_B = {Operation.GET_OBJECT, Operation.HEAD_OBJECT, Operation.HEAD_BUCKET}
_FREE = {Operation.DELETE_OBJECT, Operation.DELETE_OBJECTS, Operation.DELETE_BUCKET, Operation.ABORT_UPLOAD}

COMMITS = {Operation.PUT_OBJECT, Operation.COPY_OBJECT, Operation.COMPLETE_UPLOAD}
"""What makes an object: the writes of which R2 takes one a second per key."""

WRITES = COMMITS | _FREE | {Operation.CREATE_UPLOAD, Operation.UPLOAD_PART, Operation.CREATE_BUCKET}
"""What a read-only token may not do."""


@dataclass(frozen=True)
class Request:
    """``path`` and ``query`` are percent-encoded, as they were sent; ``pairs`` are the headers in their order."""

    method: str
    path: str
    query: str
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, method: str, target: str, headers: Iterable[tuple[str, str]]) -> Request:
        """``target`` is what stands on the request line."""
        path, _, query = target.partition("?")
        return cls(method, path, query, tuple(headers))

    @cached_property
    def headers(self) -> dict[str, str]:
        """By lower-case name; repeated ones joined by a comma, as SigV4 wants them."""
        joined: dict[str, str] = {}
        for name, value in self.pairs:
            lower = name.lower()
            joined[lower] = f"{joined[lower]},{value}" if lower in joined else value
        return joined

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The query, decoded."""
        fields = (field.partition("=") for field in self.query.split("&") if field)
        return {unquote(name): unquote(value) for name, _, value in fields}

    @cached_property
    def bucket(self) -> str:
        """The first segment of the path: only path-style addresses are understood."""
        return unquote(self.path).lstrip("/").partition("/")[0]

    @cached_property
    def key(self) -> str:
        """The object's key; empty for what concerns a bucket."""
        return unquote(self.path).lstrip("/").partition("/")[2]

    @cached_property
    def upload(self) -> str:
        """The upload id, or nothing."""
        return self.parameters.get("uploadId", "")

    @cached_property
    def part(self) -> int | None:
        """The part number, if there is one."""
        number = self.parameters.get("partNumber", "")
        return int(number) if number.lstrip("-").isdigit() else None

    @cached_property
    def length(self) -> int | None:
        """What Content-Length promises, in bytes."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isdigit() else None

    @cached_property
    def operation(self) -> Operation:
        """Which of S3's operations it is."""
        if not self.bucket:
            return Operation.LIST_BUCKETS
        return self._on_object() if self.key else self._on_bucket()

    @property
    def cost(self) -> Cost:
        """What R2 charges for it."""
        if self.operation in _FREE:
            return Cost.FREE
        return Cost.B if self.operation in _B else Cost.A

    def _on_object(self) -> Operation:
        given = self.parameters.keys()
        if self.method == "PUT":
            if "partNumber" in given:
                return Operation.UPLOAD_PART
            return Operation.COPY_OBJECT if "x-amz-copy-source" in self.headers else Operation.PUT_OBJECT
        if self.method == "POST":
            if "uploads" in given:
                return Operation.CREATE_UPLOAD
            return Operation.COMPLETE_UPLOAD if "uploadId" in given else Operation.OTHER
        if "uploadId" in given:
            found = {"GET": Operation.LIST_PARTS, "DELETE": Operation.ABORT_UPLOAD}
        else:
            found = {
                "GET": Operation.GET_OBJECT,
                "HEAD": Operation.HEAD_OBJECT,
                "DELETE": Operation.DELETE_OBJECT,
            }
        return found.get(self.method, Operation.OTHER)

    def _on_bucket(self) -> Operation:
        if self.method == "GET":
            return Operation.LIST_UPLOADS if "uploads" in self.parameters else Operation.LIST_OBJECTS
        if self.method == "POST" and "delete" in self.parameters:
            return Operation.DELETE_OBJECTS
        found = {"HEAD": Operation.HEAD_BUCKET, "PUT": Operation.CREATE_BUCKET, "DELETE": Operation.DELETE_BUCKET}
        return found.get(self.method, Operation.OTHER)
