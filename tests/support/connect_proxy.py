"""A proxy that passes on what comes after a CONNECT, as those of companies do; over TLS if it has a certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from support.local_ca import Certificate
from support.serving import serving


@dataclass
class ConnectProxy:
    """Where it is, and the head of each request so far."""

    url: str
    heads: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy(
    status: str = "200 Connection established", certificate: Certificate | None = None
) -> Iterator[ConnectProxy]:
    """One on loopback, which answers ``status``, and passes on after a 200."""

    class Handler(StreamRequestHandler):
        def setup(self) -> None:
            if certificate:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(certificate.chain, certificate.key)
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def handle(self) -> None:
            lines = list(iter(lambda: self.rfile.readline().decode().rstrip(), ""))
            proxy.heads.append("\n".join(lines))
            self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if status.startswith("200"):
                host, port = lines[0].split()[1].rsplit(":", 1)
                with socket.create_connection((host, int(port))) as there:
                    back = Thread(target=_pass_on, args=(there, self.request))
                    back.start()
                    _pass_on(self.request, there)
                    back.join()

        def finish(self) -> None:
            super().finish()
            self.request.close()

    class Proxy(ThreadingTCPServer):
        daemon_threads = False

    with serving(Proxy(("127.0.0.1", 0), Handler)) as url:
        proxy = ConnectProxy(url.replace("http", "https") if certificate else url)
        yield proxy


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # one of the two hung up
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
