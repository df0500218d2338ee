"""Faults by which a test acts at a chosen moment of a chosen request: kill the uploader exactly there, for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event

from support.r2_double.fault import Connection, Fault, Moment, Reset


@dataclass(frozen=True, kw_only=True)
class _Hook(Fault):
    """``after_bytes`` counts for ``Moment.BODY`` alone.

    Of a client that is killed, the kernel still delivers what it had taken: some 10 MB. With ``cut`` none of that
    comes through: the connection is reset at the moment.
    """

    moment: Moment = Moment.BEFORE
    after_bytes: int = 0
    cut: bool = False

    def strike(self, connection: Connection) -> None:
        """What happens at the moment."""

    def before(self, connection: Connection) -> None:
        if self.moment is Moment.BEFORE:
            self._strike(connection)

    def body(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        return self._strike_within(chunks, connection) if self.moment is Moment.BODY else chunks

    def after(self, connection: Connection) -> None:
        if self.moment is Moment.AFTER:
            self._strike(connection)

    def _strike(self, connection: Connection) -> None:
        self.strike(connection)
        if self.cut:
            raise Reset

    def _strike_within(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        left = self.after_bytes
        for chunk in chunks:
            if 0 <= left <= len(chunk):
                yield chunk[:left]
                self._strike(connection)
                chunk, left = chunk[left:], -1
            else:
                left -= len(chunk)
            yield chunk


@dataclass(frozen=True, kw_only=True)
class Call(_Hook):
    """A function of the test's own; the request goes on when it returns. Not for a double in another process."""

    function: Callable[[], object]

    def strike(self, connection: Connection) -> None:
        self.function()


@dataclass(frozen=True, kw_only=True)
class Pause(_Hook):
    """The request stands still from ``arrived`` on, until the test sets ``released``."""

    arrived: Event = field(default_factory=Event, compare=False)
    released: Event = field(default_factory=Event, compare=False)

    def strike(self, connection: Connection) -> None:
        self.arrived.set()
        while not self.released.wait(0.02) and not connection.stopped.is_set():
            pass
