"""GET and HEAD of one bucket: the data plane of nodes, and all that a run with nothing to do asks.

Signed here (SigV4: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). botocore, which does
what writes (:mod:`weightdock.store.writing`), would be half of the processor time of a run that only asks
(docs/benchmarks).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from weightdock.store.connections import Answer, Connections
from weightdock.store.endpoint import Endpoint
from weightdock.store.refusals import Refused

if TYPE_CHECKING:
    from weightdock.settings import Credentials

_NO_BODY = hashlib.sha256(b"").hexdigest()
_ERROR_BYTES = 64 * 1024
_CODE = re.compile(rb"<Code>\s*([^<]{1,200}?)\s*</Code>")
_MESSAGE = re.compile(rb"<Message>\s*([^<]{1,2000}?)\s*</Message>")


class Reader:
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

    @contextmanager
    def _answered(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Iterator[Answer]:
        asked = "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))
        where = quote(f"/{path}", safe="/-_.~")
        signed = signature(self._credentials, method, self._host, where, asked, headers, datetime.now(tz=UTC))
        with self._connections.ask(method, f"{where}?{asked}" if asked else where, signed) as answer:
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise _refusal(answer)
            yield answer


def signature(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    now: datetime,
) -> dict[str, str]:
    """``headers`` with those that sign a request without a body. ``path`` and ``query`` are quoted and sorted."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/auto/s3/aws4_request"
    own = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if credentials.session_token:
        own["x-amz-security-token"] = credentials.session_token
    every = {name.lower(): value for name, value in headers.items()} | own
    names = ";".join(sorted(every))
    canonical = "\n".join(
        [method, path, query, *(f"{name}:{every[name]}" for name in sorted(every)), "", names, _NO_BODY]
    )
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.digest(key, to_sign.encode(), "sha256").hex()
    every["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signed}"
    )
    every["accept-encoding"] = "identity"  # not signed: what lies between may change it
    return every


def _refusal(answer: Answer) -> Refused:
    room = memoryview(bytearray(_ERROR_BYTES))
    body = room[: answer.receive(room)]
    code, said = _CODE.search(body), _MESSAGE.search(body)
    return Refused(
        answer.status,
        code[1].decode(errors="replace") if code else str(answer.status),
        said[1].decode(errors="replace") if said else answer.reason,
    )
