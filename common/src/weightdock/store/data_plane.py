"""What carries bytes: GET, HEAD and PUT at one bucket, signed here.

By SigV4 (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). botocore, which does the rest
(:mod:`weightdock.store.control_plane`), would be half of the processor time of a run that only asks, or that uploads
many small files (docs/benchmarks).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from weightdock.errors import StoreError
from weightdock.store.connections import Answer, Connections
from weightdock.store.endpoint import Endpoint
from weightdock.store.refusals import Refused, Senseless, StoreFault
from weightdock.verify import Identity, identity_of

if TYPE_CHECKING:
    from weightdock.settings import Credentials

_ERROR_BYTES = 64 * 1024
_SAYS_ANY_SERVER = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
_PIECE_BYTES = 256 * 1024  # of a file, as it is read from the disk
_WRITTEN_TO = "somebody wrote to it since it was verified"
_CODE = re.compile(rb"<Code>\s*([^<]{1,200}?)\s*</Code>")
_MESSAGE = re.compile(rb"<Message>\s*([^<]{1,2000}?)\s*</Message>")


@dataclass(frozen=True)
class Section:
    """``length`` bytes of a file from ``offset`` on, read as they go out: several at a time would be much memory.

    Neither more nor fewer: what a file grew by meanwhile would be taken for the next request, and a store waits for
    what a shorter one has not. Nor others than were verified, as far as their ``identity`` tells: parts have no digest
    of the whole. Reading it raises StoreError.
    """

    path: Path
    offset: int
    length: int
    identity: Identity | None

    def __iter__(self) -> Iterator[bytes]:
        left = self.length
        try:
            with self.path.open("rb", buffering=0) as file:
                if self.identity not in (None, identity_of(os.fstat(file.fileno()))):
                    raise self._not_given(f"it is not what it was: {_WRITTEN_TO}")
                file.seek(self.offset)
                while left and (piece := file.read(min(left, _PIECE_BYTES))):
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise self._not_given(str(error)) from error
        if left:
            raise self._not_given(f"{left} bytes are missing: {_WRITTEN_TO}")

    def _not_given(self, cause: str) -> StoreError:
        return StoreError(
            f"the cache did not give {self.path.name}",
            cause=cause,
            next="see to the disk and to who else writes there, then run again",
        )


@dataclass(frozen=True)
class Body:
    """What a request sends, and the digest in its signature: the store compares it with what arrives."""

    content: Section | bytes
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Body:
        """Of what is in memory."""
        return cls(content, len(content), hashlib.sha256(content).hexdigest())


_NO_BODY = Body.of(b"")


class DataPlane:
    """Asks at one endpoint, from several threads at a time. Every method raises StoreFault."""

    def __init__(self, credentials: Credentials, endpoint: Endpoint) -> None:
        self._credentials = credentials
        self._host = endpoint.url.netloc
        self._connections = Connections(endpoint)

    def get(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Answer]:
        """A good answer, whose body is to be read inside the block."""
        return self._answered("GET", path, query or {}, headers or {})

    def head(self, path: str) -> AbstractContextManager[Answer]:
        """A good answer, without a body."""
        return self._answered("HEAD", path, {}, {})

    def put(self, path: str, body: Body, headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> str:
        """Have the store keep ``body``. The ETag that it gave it."""
        with self._answered("PUT", path, query or {}, headers, body) as answer:
            answer.read()
            try:
                return answer.headers["etag"]
            except KeyError as error:
                raise Senseless("its answer to a PUT has no ETag") from error

    @contextmanager
    def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body = _NO_BODY,
    ) -> Iterator[Answer]:
        asked = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
        where = quote(f"/{path}", safe="/-_.~")
        now = datetime.now(tz=UTC)
        signed = signature(self._credentials, method, self._host, where, asked, headers, now, body.sha256)
        signed["accept-encoding"] = "identity"  # not signed: what lies between may change it
        if method == "PUT":
            signed["content-length"] = str(body.size_bytes)
        target = f"{where}?{asked}" if asked else where
        with self._connections.ask(method, target, signed, body.content or None) as answer:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise _refusal(answer, has_body=method != "HEAD")
            yield answer


def signature(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    now: datetime,
    sha256: str = _NO_BODY.sha256,
) -> dict[str, str]:
    """``headers`` with those that sign a request whose body has ``sha256``. The rest is quoted, and sorted."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/auto/s3/aws4_request"
    own = {"host": host, "x-amz-content-sha256": sha256, "x-amz-date": moment}
    if credentials.session_token:
        own["x-amz-security-token"] = credentials.session_token
    every = {name.lower(): value for name, value in headers.items()} | own
    names = ";".join(sorted(every))
    canonical = "\n".join(
        [method, path, query, *(f"{name}:{every[name]}" for name in sorted(every)), "", names, sha256]
    )
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = _signing_key(credentials, scope)
    signed = hmac.digest(key, to_sign.encode(), "sha256").hex()
    every["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signed}"
    )
    return every


@lru_cache(maxsize=1)
def _signing_key(credentials: Credentials, scope: str) -> bytes:
    """The same for all requests of a day."""
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _refusal(answer: Answer, has_body: bool) -> StoreFault:
    room, count = memoryview(bytearray(_ERROR_BYTES)), 0
    while count < len(room) and (came := answer.receive(room[count:])):  # to the end: one that breaks off says nothing
        count += came
    body = room[:count]
    code, said = _CODE.search(body), _MESSAGE.search(body)
    if has_body and code is None and answer.status in _SAYS_ANY_SERVER:  # or a wrong address would be an empty bucket
        return Senseless(f"it answered {answer.status} ({answer.reason}) without S3's word for it")
    return Refused(
        answer.status,
        code[1].decode(errors="replace") if code else str(answer.status),
        said[1].decode(errors="replace") if said else answer.reason,
    )
