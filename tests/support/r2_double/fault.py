"""What a fault is: something that a test lays on a request to see how its client bears it.

A fault has four places to strike: ``before`` anything is looked at, in the ``body`` that the client sends, ``after``
the write is done and before its answer, and in the ``answer``. The faults themselves are in
:mod:`support.r2_double.faults` and :mod:`support.r2_double.hooks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Protocol


class Reset(Exception):  # noqa: N818  # it is meant
    """The connection ends with RST."""


class HangUp(Exception):  # noqa: N818  # it is meant
    """The connection ends with FIN, whatever was promised."""


class Connection(Protocol):
    """What a fault may do with the client's connection."""

    @property
    def stopped(self) -> Event:
        """Set when the double ends; a fault that waits, waits for this."""

    def outlast_client(self) -> None:
        """Take what the client sends, say nothing, and return when it has gone."""


class Moment(StrEnum):
    """Where :class:`Refuse` and the hooks strike."""

    BEFORE = "before"
    """The headers have come; nothing is applied."""
    BODY = "body"
    """``after_bytes`` of the body have come; nothing is applied."""
    AFTER = "after"
    """The write is applied; the client has not heard of it."""


@dataclass(frozen=True)
class Fault:
    """The fault that does nothing."""

    def before(self, connection: Connection) -> None:
        """When the headers have come."""

    def body(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        """The body on its way to the store."""
        return chunks

    def after(self, connection: Connection) -> None:
        """When the store has answered."""

    def answer(self, chunks: Iterator[bytes], connection: Connection) -> Iterator[bytes]:
        """The answer's body on its way to the client."""
        return chunks
