"""The S3 server behind the double, which holds the bytes: moto, or whatever answers on one address."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from support.r2_double.request import Request
from support.r2_double.signature import Key, sign

CHUNK_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 120
_NOT_PASSED_ON = {"connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


@dataclass
class Answer:
    """``length`` is that of ``chunks`` together; for HEAD there are none, and the header says something else."""

    status: int
    headers: list[tuple[str, str]]
    chunks: Iterator[bytes]
    length: int


class Upstream:
    """Makes a connection for each request, so that none is shared and one that is left alone harms nobody."""

    def __init__(self, url: str, key: Key) -> None:
        self._address = urlsplit(url).netloc
        self._key = key

    def open(self) -> http.client.HTTPConnection:
        """A connection; the caller closes it."""
        return http.client.HTTPConnection(self._address, timeout=_TIMEOUT_SECONDS)

    def etag(self, bucket: str, key: str) -> str | None:
        """What stands under the key."""
        status, headers = self._ask("HEAD", bucket, key, "")
        if status not in (200, 404):
            raise RuntimeError(f"the server behind the double answered {status} to HEAD {bucket}/{key}")
        return headers.get("etag") if status == 200 else None

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """End a multipart upload."""
        self._ask("DELETE", bucket, key, f"uploadId={quote(upload, safe='')}")

    def _ask(self, method: str, bucket: str, key: str, query: str) -> tuple[int, dict[str, str]]:
        request = sign(method, quote(f"/{bucket}/{key}"), query, self._address, self._key)
        connection = self.open()
        try:
            begin(connection, request)
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


def begin(connection: http.client.HTTPConnection, request: Request) -> None:
    """Send the headers, with the Host that the client signed."""
    target = f"{request.path}?{request.query}" if request.query else request.path
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.pairs:
        if name.lower() not in _NOT_PASSED_ON:
            connection.putheader(name, value)
    connection.putheader("Connection", "close")
    connection.endheaders()


def send(connection: http.client.HTTPConnection, chunk: bytes) -> None:
    """A server that has answered already takes no more; its answer says why."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.send(chunk)


def answer_of(connection: http.client.HTTPConnection, request: Request) -> Answer:
    """The answer, its body still to be read."""
    response = connection.getresponse()
    dropped = _NOT_PASSED_ON | {"content-length"}
    headers = [(name, value) for name, value in response.getheaders() if name.lower() not in dropped]
    if request.method == "HEAD":
        headers += [("Content-Length", response.headers["Content-Length"] or "0")]
        return Answer(response.status, headers, iter(()), 0)
    if response.length is None:  # chunked, as some servers list
        whole = response.read()
        return Answer(response.status, headers, iter((whole,)), len(whole))
    return Answer(response.status, headers, iter(lambda: response.read(CHUNK_BYTES), b""), response.length)
