"""Which connections are kept, and in what words the store is said not to answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from support.connect_proxy import connect_proxy
from support.local_ca import Certificate, make_certificate
from support.scripted_server import refusing, silent
from weightdock.store import endpoint
from weightdock.store.connections import Answer, Connections
from weightdock.store.endpoint import Endpoint
from weightdock.store.refusals import BrokenOff, Unreached, Way

WHOLE = b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 5\r\n\r\n12345"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n12345"
BAD_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\nno length\r\n"
CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345"


@contextmanager
def answering(*answers: bytes, certificate: Certificate | None = None) -> Iterator[tuple[str, list[int]]]:
    """Gives one after another, whatever is asked, and hangs up after one that is cut off, or after its last.

    Its URL, and the number of the connection on which each was given.
    """
    given: list[int] = []
    left = list(answers)

    def serve() -> None:
        for number in range(len(answers)):
            if not left:
                break
            here, _ = listening.accept()
            with suppress(ssl.SSLError), here, tls.wrap_socket(here, server_side=True) if tls else here as here:
                while left and _head(here):
                    given.append(number)
                    here.sendall(answer := left.pop(0))
                    if answer == CUT_OFF or b"Connection: close" in answer:
                        break

    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate.chain, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve)
        thread.start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{listening.getsockname()[1]}", given
        thread.join(timeout=60)
        assert not thread.is_alive()


def _head(here: socket.socket) -> bytes:
    came = b""
    while b"\r\n\r\n" not in came:
        piece = here.recv(4096)
        if not piece:
            break
        came += piece
    return came


def to(url: str, proxy: str | None = None, authority: Path | None = None) -> Connections:
    tls = ssl.create_default_context(cafile=authority) if authority else None
    return Connections(Endpoint(urlsplit(url), urlsplit(proxy) if proxy else None, tls))


def received(answer: Answer) -> bytes:
    room, body = memoryview(bytearray(2)), b""
    while count := answer.receive(room):
        body += room[:count]
    return body


def get(connections: Connections, take: Callable[[Answer], bytes] = received) -> bytes:
    with connections.ask("GET", "/", {"host": "store"}) as answer:
        return take(answer)


def _full(answer: Answer) -> bytes:
    answer.receive(memoryview(bytearray(2)))
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("first", [WHOLE, EMPTY, CHUNKED], ids=["whole", "empty", "chunked"])
@pytest.mark.parametrize("take", [received, Answer.read])
def test_a_connection_is_used_again_once_its_answer_has_been_read(
    first: bytes, take: Callable[[Answer], bytes]
) -> None:
    with answering(first, WHOLE) as (url, given):
        connections = to(url)
        assert get(connections, take) == (b"" if first == EMPTY else b"12345")
        assert get(connections) == b"12345"
    assert given == [0, 0]


def test_a_head_leaves_its_connection_for_the_next() -> None:
    with answering(WHOLE.removesuffix(b"12345"), WHOLE) as (url, given):
        connections = to(url)
        with connections.ask("HEAD", "/", {"host": "store"}) as answer:
            assert answer.headers == {"etag": "e", "content-length": "5"}
        assert get(connections) == b"12345"
    assert given == [0, 0]


def test_of_an_answer_that_nobody_wanted_to_its_end_the_connection_is_not_used_again() -> None:
    with answering(WHOLE, WHOLE) as (url, given):
        connections = to(url)
        with pytest.raises(OSError, match="No space left"):  # the taker's own, and told as it is
            get(connections, _full)
        assert get(connections) == b"12345"
    assert given == [0, 1]


def test_a_connection_that_the_other_side_has_closed_is_replaced() -> None:
    with answering(CLOSING, WHOLE) as (url, given):
        connections = to(url)
        assert get(connections) == get(connections) == b"12345"
    assert given == [0, 1]


def test_of_what_was_kept_nothing_is_used_after_one_did_not_answer() -> None:
    """As where a gateway forgot connections that nobody used: it is silent on each of them."""
    with answering(WHOLE) as (url, given), ExitStack() as gateway:
        connections = to(url)
        for _ in range(2):
            kept = HTTPConnection("store.example")
            kept.sock, there = socket.socketpair()
            kept.sock.settimeout(0.05)
            gateway.enter_context(there)
            connections._kept.append(kept)
        with pytest.raises(Unreached):
            get(connections)
        assert get(connections) == b"12345"
    assert given == [0]


def test_one_that_was_closed_while_it_was_kept_is_replaced_too() -> None:
    with answering(WHOLE) as (url, _):
        connections = to(url)
        get(connections)
    assert connections._free() is None


@pytest.mark.parametrize("broken", [CUT_OFF, BAD_CHUNK], ids=["cut off", "of a chunk without a length"])
@pytest.mark.parametrize("take", [received, Answer.read])
def test_an_answer_that_breaks_off_is_told_and_its_connection_not_used_again(
    take: Callable[[Answer], bytes], broken: bytes
) -> None:
    with answering(broken, WHOLE) as (url, given):
        connections = to(url)
        with pytest.raises(BrokenOff):
            get(connections, take)
        assert get(connections) == b"12345"
    assert given == [0, 1]


def test_who_refuses_a_body_and_hangs_up_before_its_end_is_heard() -> None:
    refusing_it = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with answering(refusing_it, WHOLE) as (url, given):
        connections, body = to(url), bytes(20_000_000)  # more than the buffers between here and there hold
        headers = {"host": "store", "content-length": str(len(body))}
        with connections.ask("PUT", "/", headers, body) as answer:
            assert answer.status == 403
        assert get(connections) == b"12345"
    assert given == [0, 1]


@pytest.mark.parametrize("answer", [b"", b"220 mail.example ESMTP\r\n"], ids=["none", "of another protocol"])
def test_who_says_nothing_of_http_has_broken_off(answer: bytes) -> None:
    with answering(answer) as (url, _), pytest.raises(BrokenOff):
        get(to(url))


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "READ_SECONDS", 0.1)
    with silent() as far, pytest.raises(Unreached) as met:
        get(to(far.url))
    assert met.value == Unreached(Way.NO_ANSWER, "no answer within 0.1 s")


def test_an_answer_may_take_longer_than_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "CONNECT_SECONDS", 0.1)
    with silent() as far, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, to(far.url))
        far.wait()
        with pytest.raises(TimeoutError):
            asked.result(timeout=0.4)
        far.read(1)
        assert asked.result(timeout=10) == b""


def test_who_does_not_say_hello_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(endpoint, "CONNECT_SECONDS", 0.1)
    url = urlsplit("https://127.0.0.1")
    with silent() as far, pytest.raises(Unreached) as met:
        get(to(url._replace(netloc=urlsplit(far.url).netloc).geturl(), authority=make_certificate(tmp_path).authority))
    assert met.value == Unreached(Way.NO_CONNECTION, "no connection within 0.1 s")


@pytest.mark.parametrize(
    ("url", "proxy", "said"),
    [
        (refusing(), None, "could not connect ([Errno 111] Connection refused)"),
        ("http://store", refusing(), "could not connect through 127.0.0.1 ([Errno 111] Connection refused)"),
        (f"http://{'a' * 64}.example", None, "could not connect (encoding with 'idna' codec failed"),
    ],
    ids=["nobody there", "no proxy there", "a name that none can have"],
)
def test_who_is_not_there_is_named(url: str, proxy: str | None, said: str) -> None:
    with pytest.raises(Unreached) as met:
        get(to(url, proxy))
    assert met.value.way == Way.NO_CONNECTION
    assert met.value.said.startswith(said)


def test_who_hangs_up_before_a_certificate_is_one_that_gives_no_connection(tmp_path: Path) -> None:
    authority = make_certificate(tmp_path).authority
    with closing(socket.create_server(("127.0.0.1", 0))) as far, ThreadPoolExecutor(1) as pool:
        hung_up = pool.submit(lambda: _hang_up_after_hello(far))
        with pytest.raises(Unreached) as met:
            get(to(f"https://127.0.0.1:{far.getsockname()[1]}", authority=authority))
        hung_up.result(timeout=10)
    assert met.value.way == Way.NO_CONNECTION


def _hang_up_after_hello(far: socket.socket) -> None:
    with far.accept()[0] as made:
        assert made.recv(65536)  # all of it, or what is left would make a reset of the end


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with answering(WHOLE, certificate=make_certificate(tmp_path)) as (url, _), pytest.raises(Unreached) as met:
        get(to(url, authority=make_certificate(other).authority))
    assert met.value.way == Way.NO_TRUST


@pytest.mark.parametrize("secure", [False, True], ids=["a proxy", "a proxy over TLS"])
def test_an_endpoint_over_tls_is_asked_through_a_tunnel(tmp_path: Path, *, secure: bool) -> None:
    certificate = make_certificate(tmp_path)
    with (
        answering(WHOLE, WHOLE, certificate=certificate) as (url, given),
        connect_proxy(certificate=certificate if secure else None) as proxy,
    ):
        connections = to(url, proxy.url.replace("//", "//user:word@"), certificate.authority)
        assert get(connections) == get(connections) == b"12345"
    host = urlsplit(url).netloc
    assert given == [0, 0]
    assert proxy.heads == [f"CONNECT {host} HTTP/1.1\nhost: {host}\nproxy-authorization: Basic dXNlcjp3b3Jk"]


def test_a_proxy_that_refuses_is_told(tmp_path: Path) -> None:
    authority = make_certificate(tmp_path).authority
    with connect_proxy("407 Proxy Authentication Required") as proxy, pytest.raises(Unreached) as met:
        get(to("https://store.example", proxy.url, authority))
    said = "could not connect through 127.0.0.1 (the proxy answered 407 Proxy Authentication Required)"
    assert met.value == Unreached(Way.NO_CONNECTION, said)


@pytest.mark.parametrize("hung_up", [ConnectionResetError(), BrokenPipeError(), ssl.SSLEOFError()], ids=repr)
def test_who_hangs_up_before_the_end_of_a_body_may_have_said_why(hung_up: OSError) -> None:
    def body() -> Iterator[bytes]:
        yield b"the beginning"
        raise hung_up  # as writing the next piece does

    with answering(CUT_OFF.replace(b"200 OK", b"412 Precondition Failed")) as (url, _):
        connections = to(url)
        with connections.ask("PUT", "/", {"host": "store", "content-length": "1000"}, body()) as answer:
            assert answer.status == 412
