"""The double itself: a server that can be put in front of another, in a thread of the test process."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from http.server import ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from support.local_ca import Certificate
from support.r2_double.exchange import Store
from support.r2_double.fault import Fault
from support.r2_double.handler import Handler
from support.r2_double.injection import Injection, Injections, When
from support.r2_double.record import Record
from support.r2_double.signature import Key
from support.r2_double.state import Limits, State
from support.r2_double.upstream import Upstream


class R2Double:
    """A context manager: it listens on a free port from the first line of the block to the last.

    ``upstream`` is the address of the server behind; ``without`` names rules that a test does without.
    """

    def __init__(
        self,
        upstream: str,
        keys: Iterable[Key],
        limits: Limits | None = None,
        without: Iterable[str] = (),
        certificate: Certificate | None = None,
        port: int = 0,
    ) -> None:
        keys = tuple(keys)
        self.record = Record()
        self.injections = Injections()
        self.stopped = Event()
        self.errors: list[BaseException] = []
        self._state = State(keys, limits or Limits())
        self.store = Store(Upstream(upstream, keys[0]), self._state, frozenset(without))
        handler = type("Handler", (Handler,), {"double": self})
        self._server = _Server(("127.0.0.1", port), handler, self.errors, certificate)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="r2-double")
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every connection and wait until nobody serves one. Raises what went wrong in the double itself."""
        self.stopped.set()
        self.injections.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()
        if self.errors and error is None:
            raise self.errors[0]

    @property
    def limits(self) -> Limits:
        """R2's numbers, as they are here."""
        return self._state.limits

    def limit(self, **changed: Any) -> None:
        """Change some of the limits, from the next request on."""
        self._state.limits = replace(self._state.limits, **changed)

    def set_key(self, key: Key) -> None:
        """Add a key, or change one: let it expire, for instance."""
        self._state.keys[key.access_key_id] = key

    def inject(self, fault: Fault, when: When | None = None) -> Injection:
        """Lay ``fault`` on the next request, or on those of ``when``."""
        return self.injections.place(fault, when or When())

    def expire_uploads(self, key: str = "") -> int:
        """End the unfinished uploads of keys that end with ``key``, as R2 does after seven days."""
        return self.store.expire_uploads(key)


class _Server(ThreadingHTTPServer):
    """Knows its connections, so as to end them; a handler's own errors are kept for the test."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[Handler],
        errors: list[BaseException],
        certificate: Certificate | None,
    ) -> None:
        super().__init__(address, handler)
        self._errors = errors
        self._lock = Lock()
        self._connections: set[socket.socket] = set()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain, certificate.key)
            # The handshake is for the connection's own thread: one slow client must not keep the others waiting.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def end_connections(self) -> None:
        """Whoever reads or writes on one of them gets an error now."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut_down(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error and not isinstance(error, OSError):  # clients come and go
            self._errors.append(error)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
