"""An HTTP server that gives prepared answers and remembers what it was asked: for what no S3 server does on request."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from support.serving import serving


@dataclass(frozen=True)
class Answer:
    """One answer. ``promised_bytes`` is its Content-Length where that is to be a lie."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("ETag", '"e"'),)
    body: bytes = b""
    promised_bytes: int | None = None


@dataclass(frozen=True)
class Request:
    """What was asked. Names of headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """The answers in order, the last one for ever, and the requests so far."""

    url: str
    answers: Sequence[Answer]
    requests: list[Request] = field(default_factory=list)

    def next(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answers[min(len(self.requests), len(self.answers)) - 1]


@contextmanager
def scripted(*answers: Answer) -> Iterator[Script]:
    """A server on loopback that answers so."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                answer = script.next(Request(f"{self.command} {self.path}", headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            length = len(answer.body) if answer.promised_bytes is None else answer.promised_bytes
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = length != len(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815  # the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        script = Script(url, answers)
        yield script


@dataclass(frozen=True)
class Listening:
    """A socket that takes connections and never answers."""

    url: str
    _socket: socket.socket
    _taken: list[socket.socket] = field(default_factory=list)

    def wait(self) -> None:
        """Return when somebody has connected and said something; they are kept waiting."""
        connection, _ = self._socket.accept()
        connection.recv(1, socket.MSG_PEEK)
        self._taken.append(connection)

    def read(self, size: int) -> None:
        """Take so much of what was said last, and answer that all is well."""
        connection = self._taken[-1]
        while size > 0 and (piece := connection.recv(min(size, 1_000_000))):
            size -= len(piece)
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')

    def close(self) -> None:
        """Hang up on everybody."""
        for connection in self._taken:
            connection.close()


@contextmanager
def silent() -> Iterator[Listening]:
    """Somebody who listens and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        silence = Listening(f"http://127.0.0.1:{listening.getsockname()[1]}", listening)
        try:
            yield silence
        finally:
            silence.close()


def refusing() -> str:
    """The URL of a port on which nobody listens: it was free a moment ago."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"
