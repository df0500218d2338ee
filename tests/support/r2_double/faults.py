"""What can go wrong on the way, each a small value that a test injects. Bytes are counted in bodies, not in headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from support.r2_double.fault import Connection, Fault, HangUp, Moment, Reset
from support.r2_double.refusal import Refusal


@dataclass(frozen=True)
class Refuse(Fault):
    """An error of the store's own. ``AFTER`` is the nasty one: it says no, and did it."""

    status: int = 503
    code: str = "SlowDown"
    message: str = "Please reduce your request rate."
    retry_after: float | None = None
    moment: Moment = Moment.BEFORE

    def before(self, connection: Connection) -> None:
        if self.moment is Moment.BEFORE:
            self._refuse()

    def after(self, connection: Connection) -> None:
        if self.moment is Moment.AFTER:
            self._refuse()

    def _refuse(self) -> None:
        raise Refusal(self.status, self.code, self.message, self.retry_after)


INTERNAL_ERROR = Refuse(500, "InternalError", "We encountered an internal error. Please try again.")
BAD_GATEWAY = Refuse(502, "BadGateway", "Bad gateway")
UNAVAILABLE = Refuse(503, "ServiceUnavailable", "Service is temporarily unavailable.")
SLOW_DOWN = Refuse()
TOO_MANY_REQUESTS = Refuse(429, "TooManyRequests", "Rate limit exceeded.")


@dataclass(frozen=True)
class ResetRequest(Fault):
    """RST when so many bytes of the body have come."""

    after_bytes: int = 0

    def body(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        yield from _first(chunks, self.after_bytes)
        raise Reset


@dataclass(frozen=True)
class ResetAnswer(Fault):
    """RST when so many bytes of the answer are out."""

    after_bytes: int = 0

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        yield from _first(chunks, self.after_bytes)
        raise Reset


@dataclass(frozen=True)
class Truncate(Fault):
    """A clean end of the connection at this byte of the answer, whose length promised more."""

    at: int = 0

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        yield from _first(chunks, self.at)
        raise HangUp


@dataclass(frozen=True)
class FlipByte(Fault):
    """One wrong byte in an answer that is otherwise in order."""

    at: int = 0

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        offset = 0
        for chunk in chunks:
            index = self.at - offset
            if 0 <= index < len(chunk):
                chunk = chunk[:index] + bytes([chunk[index] ^ 0xFF]) + chunk[index + 1 :]
            offset += len(chunk)
            yield chunk


@dataclass(frozen=True)
class SlowRequest(Fault):
    """The store reads this slowly."""

    bytes_per_second: int = 1024

    def body(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        return _slowly(chunks, self.bytes_per_second, connection)


@dataclass(frozen=True)
class SlowAnswer(Fault):
    """The store sends this slowly."""

    bytes_per_second: int = 1024

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        return _slowly(chunks, self.bytes_per_second, connection)


@dataclass(frozen=True)
class Delay(Fault):
    """The first byte of the answer takes so long."""

    seconds: float = 1.0

    def after(self, connection: Connection) -> None:
        connection.stopped.wait(self.seconds)


@dataclass(frozen=True)
class Silence(Fault):
    """The request is taken and never answered, nor applied."""

    def before(self, connection: Connection) -> None:
        connection.outlast_client()
        raise HangUp


@dataclass(frozen=True)
class DropAnswer(Fault):
    """The write is applied, and the connection reset before the client hears of it."""

    def after(self, connection: Connection) -> None:
        raise Reset


def _first(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """So many bytes, or all where there are fewer."""
    left = count
    while left > 0 and (chunk := next(chunks, b"")):
        yield chunk[:left]
        left -= len(chunk)


def _slowly(chunks: Iterator[bytes], bytes_per_second: int, connection: Connection) -> Iterator[bytes]:
    step = max(1, bytes_per_second // 20)
    for chunk in chunks:
        for start in range(0, len(chunk), step):
            piece = chunk[start : start + step]
            connection.stopped.wait(len(piece) / bytes_per_second)
            yield piece
