"""The double's side of a client's connection."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import TYPE_CHECKING

from support.r2_double import control
from support.r2_double.fault import Fault, HangUp, Reset
from support.r2_double.record import Entry
from support.r2_double.refusal import Refusal
from support.r2_double.request import Request
from support.r2_double.state import Expect
from support.r2_double.upstream import CHUNK_BYTES, Answer

if TYPE_CHECKING:
    from support.r2_double.double import R2Double

_NO_BODY = (204, 304)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive, streaming both ways."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    double: R2Double

    @property
    def stopped(self) -> Event:
        """See :class:`support.r2_double.fault.Connection`."""
        return self.double.stopped

    def outlast_client(self) -> None:
        """See :class:`support.r2_double.fault.Connection`."""
        with suppress(OSError):
            while self.rfile.read1(CHUNK_BYTES):
                pass

    def handle_expect_100(self) -> bool:
        """Say nothing of our own accord: the rules know what R2 does."""
        return True

    def log_message(self, *_: object) -> None:
        """The record has it all."""

    def handle_any(self) -> None:
        """One request, whatever its method."""
        request = Request.of(self.command, self.path, self.headers.items())
        if request.bucket == control.BUCKET:
            self._control(request)
            return
        entry = self.double.record.begin(request)
        faults = self.double.injections.on(request)
        entry.faults = [type(fault).__name__ for fault in faults]
        try:
            self._serve(request, faults, entry)
        except Reset:
            self._reset()
        except (HangUp, OSError) as ended:
            entry.error = f"{type(ended).__name__}: {ended}"
            self.close_connection = True
        except Exception as error:
            entry.error = f"{type(error).__name__}: {error}"
            self.close_connection = True
            raise
        finally:
            entry.ended = entry.ended or time.monotonic()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815  # the library's names

    def _serve(self, request: Request, faults: list[Fault], entry: Entry) -> None:
        body = self._body(request, entry)
        wire = body
        for fault in faults:
            wire = fault.body(wire, self)
        try:
            for fault in faults:
                fault.before(self)
            if "expect" in request.headers and self.double.limits.expect is Expect.HANG:
                self.outlast_client()
                raise HangUp
            self.double.store.admit(request)
            with self.double.store.exchange(request, wire, faults, self) as answer:
                self._answer(request, answer, faults, entry)
        except Refusal as refusal:
            entry.code, entry.refused_by = refusal.code, refusal.rule
            if "expect" in request.headers:
                self.close_connection = True  # the client keeps the body back until it knows
            else:
                for _ in body:
                    pass
            self._answer(request, _answer_of(refusal), [], entry)

    def _body(self, request: Request, entry: Entry) -> Iterator[bytes]:
        left = request.length or 0
        while left:
            chunk = self.rfile.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise HangUp
            left -= len(chunk)
            entry.bytes_in += len(chunk)
            yield chunk

    def _answer(self, request: Request, answer: Answer, faults: list[Fault], entry: Entry) -> None:
        chunks = iter(()) if request.method == "HEAD" or answer.status in _NO_BODY else answer.chunks
        for fault in faults:
            chunks = fault.answer(chunks, self)
        entry.status = answer.status
        if not answer.length:
            entry.ended = time.monotonic()
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status not in _NO_BODY and request.method != "HEAD":
            self.send_header("Content-Length", str(answer.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            entry.bytes_out += len(chunk)
            if entry.bytes_out >= answer.length:  # before the client can know, so that the next request begins later
                entry.ended = time.monotonic()
            self.wfile.write(chunk)

    def _control(self, request: Request) -> None:
        body = self.rfile.read(request.length or 0)
        status, content = control.answer(self.double, request, body)
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        """RST instead of FIN: by lingering for no time, and closing before anybody can shut down in good order."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _answer_of(refusal: Refusal) -> Answer:
    headers = [("Content-Type", "application/xml")]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", f"{refusal.retry_after:g}"))
    return Answer(refusal.status, headers, iter((refusal.body,)), len(refusal.body))
