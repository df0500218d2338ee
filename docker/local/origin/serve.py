"""Serve a folder of checkpoints as GitHub releases and as a Hugging Face hub would.

    python3 serve.py --root /origin --host 0.0.0.0 --port 9001

Standard library only. One line per request goes to stderr: method, path, status, bytes of body.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import faults
import routes
import shelf
from answers import Answer
from byte_range import byte_range


class Server(ThreadingHTTPServer):
    """The listening socket and what its handlers need to know."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], root: Path, fault_file: Path | None) -> None:
        self.root = root
        self.fault_file = fault_file
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "weightdock-local-origin"
    timeout = 60  # seconds that an idle connection keeps its thread
    server: Server
    status = 0
    sent = 0

    def do_GET(self) -> None:
        """Answer, with the body."""
        self._logged()

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would give."""
        self._logged()

    def _logged(self) -> None:
        self.status = self.sent = 0
        try:
            self._respond()
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client went away, which is its right
        finally:
            if self.path != "/healthz":  # the engine's own question, every few seconds
                line = f"{self.command} {ascii(self.path)[1:-1]} {self.status} {self.sent}"
                print(line, file=sys.stderr, flush=True)

    def _respond(self) -> None:
        fault = faults.read(self.server.fault_file, self.command, self.path)
        time.sleep(fault.delay_seconds)
        # A fault of 404 reads as each host's own: the answer for a file that is not there.
        path = f"{self.path}-absent" if fault.status == HTTPStatus.NOT_FOUND else self.path
        base = f"http://{self.headers.get('Host', 'localhost')}"
        answer = routes.answer(self.server.root, path, base)
        if fault.status not in (None, HTTPStatus.NOT_FOUND):
            answer = Answer(fault.status, body=b"injected fault")
        if answer.item is not None:
            self._send_file(answer.item, answer.headers, fault)
            return
        self._send_head(answer.status, answer.headers, len(answer.body))
        if self.command == "GET":
            self.sent += self.wfile.write(answer.body)

    def _send_head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send_file(self, item: shelf.Item, headers: dict[str, str], fault: faults.Fault) -> None:
        size = item.size if fault.short is None else min(fault.short, item.size)
        if "X-Linked-Size" in headers:
            headers = {**headers, "X-Linked-Size": str(size)}
        try:
            wanted = byte_range(self.headers.get("Range") if self.command == "GET" else None, size)
        except ValueError:
            self._send_head(416, {"Content-Range": f"bytes */{size}"}, 0)
            return
        start, end = (wanted.start, wanted.stop) if wanted else (0, size)
        if wanted:
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._send_head(206 if wanted else 200, headers, end - start)
        if self.command != "GET":
            return
        if fault.truncate_at is not None and fault.truncate_at < end:
            end = max(start, fault.truncate_at)
            self.close_connection = True
        with item.path.open("rb") as file:
            flip = fault.flip_byte_at
            if flip is not None and start <= flip < end:
                self._copy(file, start, flip)
                self.sent += self.wfile.write(bytes([file.read(1)[0] ^ 0xFF]))
                start = flip + 1
            self._copy(file, start, end)

    def _copy(self, file: BinaryIO, start: int, end: int) -> None:
        """Send [start, end) inside the kernel, and leave the file at the byte after them."""
        file.seek(start)
        if start < end:  # sendfile takes a count of 0 for a mistake
            try:
                self.connection.sendfile(file, start, end - start)
            finally:
                self.sent += file.tell() - start

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing here: the line of a request is written when its bytes are known."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    option = parser.add_argument
    option("--root", type=Path, required=True, help="the folder that the makers filled")
    option("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    option("--port", type=int, default=9001, help="0 picks one (default: %(default)s)")
    option("--faults", type=Path, metavar="FILE", help="failures for tests, see faults.py")
    given = parser.parse_args(arguments)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sys.exit(0)  # as process 1 of a container, python would ignore SIGTERM

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with Server((given.host, given.port), given.root.resolve(), given.faults) as server:
        host, port = server.server_address[:2]
        print(f"serving {given.root} on http://{host!s}:{port}", file=sys.stderr, flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
