"""The proxy's latency and width, as ratios that a busy machine keeps too."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from support.latency_proxy import LatencyProxy
from support.serving import serving


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        while piece := self.request.recv(1024 * 1024):
            self.request.sendall(piece)


def echo() -> AbstractContextManager[str]:
    return serving(ThreadingTCPServer(("127.0.0.1", 0), Echo))


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=30) as made:
        yield made


def there_and_back(url: str, content: bytes) -> bytes:
    with connection(url) as made:

        def send() -> None:
            made.sendall(content)
            made.shutdown(socket.SHUT_WR)

        sender = Thread(target=send)
        sender.start()
        received = b"".join(iter(lambda: made.recv(1024 * 1024), b""))
        sender.join()
    return received


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_everything_arrives_in_its_order_whatever_the_way() -> None:
    content = bytes(range(256)) * 20_000
    with echo() as server, LatencyProxy(server, 0.01, 50_000_000) as far:
        assert there_and_back(far.url, content) == content
        assert far.connections == 1


def test_each_exchange_takes_the_way_there_and_back() -> None:
    def exchanges(url: str, count: int) -> None:
        with connection(url) as made:
            for _ in range(count):
                made.sendall(b"ping")
                assert made.recv(4) == b"ping"

    with echo() as server, LatencyProxy(server, 0.02) as far:
        assert 10 * 0.04 <= seconds(lambda: exchanges(far.url, 10)) < 10 * 0.04 * 4
        far.one_way_seconds = 0
        assert seconds(lambda: exchanges(far.url, 10)) < 0.2


def test_latency_is_no_width() -> None:
    content = bytes(8_000_000)
    with echo() as server, LatencyProxy(server, 0.1) as far:
        # 122 pieces: one after the other they would take 24 s.
        assert 0.2 <= seconds(lambda: there_and_back(far.url, content)) < 4


@pytest.mark.parametrize("clients", [1, 4])
def test_the_width_is_each_connection_s_own(clients: int) -> None:
    content = bytes(500_000)
    with echo() as server, LatencyProxy(server, 0, 1_000_000) as narrow, ThreadPoolExecutor(clients) as pool:
        taken = seconds(lambda: list(pool.map(there_and_back, [narrow.url] * clients, [content] * clients)))
    assert 0.5 <= taken < 1.5


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with LatencyProxy(nobody) as far, connection(far.url) as made:
        assert made.recv(1) == b""
