"""What carries bytes goes through http.client: connections are kept, and answers received where they are wanted.

urllib3, which sends the rest (:mod:`weightdock.store.control_plane`), copies each byte of an answer once more, and is a
third of the work of an object of 1 MB (docs/benchmarks).
"""

from __future__ import annotations

import select
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import cast
from urllib.parse import SplitResult

from weightdock.store import endpoint
from weightdock.store.endpoint import PORTS, Endpoint
from weightdock.store.refusals import BrokenOff, StoreFault, Unreached, Way


class Answer:
    """What came back; its headers' names are in lower case. Its body is to be read while the request lasts.

    Methods raise StoreFault.
    """

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response

    def read(self) -> bytes:
        """The whole body."""
        try:
            return self._response.read()
        except (OSError, HTTPException) as error:
            raise _fault(error) from error

    def receive(self, room: memoryview) -> int:
        """Put the body's next bytes into ``room``: how many. None are its end."""
        try:
            count = self._response.readinto(room)
        except (OSError, HTTPException) as error:
            raise _fault(error) from error
        if not count and self._response.length:
            raise BrokenOff(f"{self._response.length} bytes were still to come")
        return count


class Connections:
    """To one endpoint, for several threads. Nobody asks again here: the pace does, for all workers together."""

    def __init__(self, to: Endpoint) -> None:
        self._to = to
        self._kept: deque[HTTPConnection] = deque()
        weakref.finalize(self, _close, self._kept)

    @contextmanager
    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: Iterable[bytes] | bytes | None = None
    ) -> Iterator[Answer]:
        """The answer to a request; ``headers`` have the length of its body. Raises StoreFault."""
        if self._to.proxy and self._to.url.scheme == "http":
            path = f"http://{self._to.url.netloc}{path}"
            headers = {**headers, **self._to.proxy_headers}
        connection, response = self._free() or self._new(), None
        try:
            try:
                # Who hangs up before the end of a body may have said why.
                with suppress(ConnectionError, ssl.SSLEOFError):
                    connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                raise _fault(error) from error
            yield Answer(response)
            if response.length == 0:  # of a HEAD, or empty: http.client wants it read all the same
                response.read()
        except (BrokenOff, Unreached):
            connection.close()  # nobody knows what is still to come
            _close(self._kept)  # what lies between may have forgotten the others, too
            raise
        finally:
            if response and response.isclosed() and connection.sock:
                self._kept.append(connection)
            else:
                connection.close()

    def _free(self) -> HTTPConnection | None:
        """One that is kept, and that the other side has not closed meanwhile."""
        while True:
            try:
                connection = self._kept.pop()
            except IndexError:
                return None
            heard = select.poll()
            heard.register(connection.sock, select.POLLIN)
            if not heard.poll(0):
                return connection
            connection.close()

    def _new(self) -> HTTPConnection:
        connection = HTTPConnection(self._to.url.netloc)
        try:
            connection.sock = self._connected()
        except TimeoutError as error:
            raise Unreached(Way.NO_CONNECTION, f"no connection within {endpoint.CONNECT_SECONDS} s") from error
        except ssl.SSLError as error:
            hung_up = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
            raise Unreached(Way.NO_CONNECTION if hung_up else Way.NO_TRUST, str(error)) from error
        except (OSError, HTTPException, UnicodeError) as error:  # the last for a name that none can have
            through = f" through {self._to.proxy.hostname}" if self._to.proxy else ""
            raise Unreached(Way.NO_CONNECTION, f"could not connect{through} ({error})") from error
        return connection

    def _connected(self) -> socket.socket:
        url, proxy = self._to.url, self._to.proxy
        made = socket.create_connection(_address(proxy or url), endpoint.CONNECT_SECONDS)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy:
                made = self._secured(made, proxy)
                if url.scheme == "https":
                    self._tunnel(made)
            if proxy is None or url.scheme == "https":
                made = self._secured(made, url)
            made.settimeout(endpoint.READ_SECONDS)
        except BaseException:
            made.close()
            raise
        return made

    def _secured(self, made: socket.socket, whom: SplitResult) -> socket.socket:
        """TLS, where that is spoken to ``whom``."""
        if self._to.tls is None or whom.scheme == "http":
            return made
        if isinstance(made, ssl.SSLSocket):  # to the proxy: which Python's own cannot have within
            from urllib3.util.ssltransport import SSLTransport

            return cast("socket.socket", SSLTransport(made, self._to.tls, whom.hostname))
        return self._to.tls.wrap_socket(made, server_hostname=whom.hostname)

    def _tunnel(self, made: socket.socket) -> None:
        """Have the proxy pass on what comes (https://www.rfc-editor.org/rfc/rfc9110#name-connect)."""
        host, port = _address(self._to.url)
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = {"host": where} | self._to.proxy_headers
        lines = [f"CONNECT {where} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        made.sendall("\r\n".join(lines).encode())
        with HTTPResponse(made, method="CONNECT") as answer:
            answer.begin()
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise OSError(f"the proxy answered {answer.status} {answer.reason}")


def _close(kept: deque[HTTPConnection]) -> None:
    with suppress(IndexError):
        while True:
            kept.pop().close()


def _address(whom: SplitResult) -> tuple[str, int]:
    return whom.hostname or "", whom.port or PORTS[whom.scheme]


def _fault(error: OSError | HTTPException) -> StoreFault:
    """What a request met, in our words."""
    if isinstance(error, TimeoutError):
        return Unreached(Way.NO_ANSWER, f"no answer within {endpoint.READ_SECONDS} s")
    return BrokenOff(str(error) or type(error).__name__)
