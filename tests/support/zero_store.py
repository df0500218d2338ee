"""An S3 server for files larger than memory: of a large object it keeps the length alone, and takes zeros only.

Sparse files read as zeros, so what it gives back is what it was given, to the byte. Objects of up to 1 MiB, such as
manifests, it keeps whole. It checks nothing: put :class:`support.r2_double.R2Double` in front.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from support.r2_double.request import Operation, Request
from support.serving import serving

_WHOLE_BYTES = 1024 * 1024
_ZEROS = bytes(256 * 1024)
_LONG_AGO = "2026-11-22T10:00:00.000Z"


@dataclass
class Stored:
    """``content`` is None where all of it is zeros."""

    size: int
    content: bytes | None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """Of what it holds: the length says all of zeros."""
        return f'"{hashlib.md5(self.content or str(self.size).encode(), usedforsecurity=False).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: dict[str, Stored]
    uploads: dict[str, tuple[dict[int, Stored], dict[str, str]]]
    numbers: Iterator[int]

    def handle_any(self) -> None:
        request = Request.of(self.command, self.path, self.headers.items())
        found = self._take(request.length or 0)
        metadata = {name: value for name, value in request.headers.items() if name.startswith("x-amz-meta-")}
        match request.operation:
            case Operation.PUT_OBJECT:
                self._keep(request.path, Stored(found.size, found.content, metadata))
            case Operation.CREATE_UPLOAD:
                upload = f"upload-{next(self.numbers)}"
                self.uploads[upload] = ({}, metadata)
                self._xml(f"<Result><UploadId>{upload}</UploadId></Result>")
            case Operation.UPLOAD_PART:
                self.uploads[request.upload][0][request.part or 0] = found
                self._say(200, {"ETag": found.etag})
            case Operation.COMPLETE_UPLOAD:
                self._complete(request, found.content or b"")
            case Operation.ABORT_UPLOAD:
                self.uploads.pop(request.upload, None)
                self._say(204, {})
            case Operation.DELETE_OBJECT:
                self.objects.pop(request.path, None)
                self._say(204, {})
            case Operation.GET_OBJECT | Operation.HEAD_OBJECT:
                self._give(request)
            case Operation.LIST_PARTS:
                self._list_parts(request)
            case Operation.LIST_OBJECTS:
                self._list(request)
            case _:
                self._say(501, {})

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  # the library's names

    def log_message(self, *_: object) -> None:
        """Silent."""

    def _take(self, length: int) -> Stored:
        if length <= _WHOLE_BYTES:
            return Stored(length, self.rfile.read(length))
        left = length
        while left:
            chunk = self.rfile.read(min(left, len(_ZEROS)))
            if not chunk:
                raise ConnectionError("the body broke off")
            if chunk != _ZEROS[: len(chunk)]:
                raise ValueError("a large object that is not zeros")
            left -= len(chunk)
        return Stored(length, None)

    def _complete(self, request: Request, listed: bytes) -> None:
        parts, metadata = self.uploads.pop(request.upload)
        named = (one.text for one in ElementTree.fromstring(listed).iter() if one.tag.endswith("PartNumber"))
        chosen = [parts[int(number or "")] for number in named]
        size = sum(part.size for part in chosen)
        if size <= _WHOLE_BYTES:
            self._keep(request.path, Stored(size, b"".join(part.content or b"" for part in chosen), metadata))
        elif any((part.content or b"").strip(b"\0") for part in chosen):
            raise ValueError("a large object that is not zeros")
        else:
            self._keep(request.path, Stored(size, None, metadata))

    def _keep(self, path: str, stored: Stored) -> None:
        self.objects[path] = stored
        self._xml(f"<Result><ETag>{escape(stored.etag)}</ETag></Result>", {"ETag": stored.etag})

    def _give(self, request: Request) -> None:
        stored = self.objects.get(request.path)
        if not stored:
            self._xml("<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", status=404)
            return
        first, last, status = 0, stored.size - 1, 200
        headers = {"ETag": stored.etag, "Accept-Ranges": "bytes"} | stored.headers
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            first, last, status = int(asked[1]), min(last, int(asked[2] or last)), 206
            headers["Content-Range"] = f"bytes {first}-{last}/{stored.size}"
        self._say(status, headers, last + 1 - first)
        while request.method == "GET" and first <= last:
            chunk = stored.content[first : last + 1] if stored.content is not None else _ZEROS[: last + 1 - first]
            self.wfile.write(chunk)
            first += len(chunk)

    def _list_parts(self, request: Request) -> None:
        parts = sorted(self.uploads[request.upload][0].items())
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(one.etag)}</ETag><Size>{one.size}</Size></Part>"
            for number, one in parts
        )
        self._xml(f"<Result><IsTruncated>false</IsTruncated>{listed}</Result>")

    def _list(self, request: Request) -> None:
        prefix = f"/{request.bucket}/{request.parameters.get('prefix', '')}"
        listed = "".join(
            f"<Contents><Key>{escape(path.split('/', 2)[2])}</Key><Size>{one.size}</Size>"
            f"<ETag>{escape(one.etag)}</ETag><LastModified>{_LONG_AGO}</LastModified></Contents>"
            for path, one in sorted(self.objects.items())
            if path.startswith(prefix)
        )
        self._xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>")

    def _xml(self, content: str, headers: dict[str, str] | None = None, status: int = 200) -> None:
        encoded = content.encode()
        self._say(status, {"Content-Type": "application/xml"} | (headers or {}), len(encoded))
        if self.command != "HEAD":
            self.wfile.write(encoded)

    def _say(self, status: int, headers: dict[str, str], length: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def zero_store() -> AbstractContextManager[str]:
    """The address of a server that lives as long as the block. Every bucket exists."""
    members = {"objects": {}, "uploads": {}, "numbers": count(1)}
    return serving(ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), members)))
