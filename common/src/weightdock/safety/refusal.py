"""Why a file is refused, before it becomes an error that names the file."""

from __future__ import annotations

_SHOWN = 120


class RefusalError(Exception):
    """A reason, and where in the file it was found.

    ``named`` is true where the file asks for something that is not allowed, false where it is damaged, foreign or
    out of bounds: what helps differs. ``broken`` is true where a pickle is refused at what stops every unpickler.
    """

    def __init__(self, reason: str, *, where: str = "", named: bool = False, broken: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.where = where
        self.named = named
        self.broken = broken

    def within(self, where: str) -> RefusalError:
        """The same, seen from outside: ``archive/data.pkl, byte 27``."""
        self.where = f"{where}, {self.where}" if self.where else where
        return self


def shown(value: object) -> str:
    """A word from a hostile file, fit for a terminal and a log: escaped, in one line, short; else its kind."""
    if isinstance(value, str):
        word = ascii(value[:_SHOWN])[1:-1]  # a text may be megabytes long
        return word if len(word) <= _SHOWN else f"{word[:_SHOWN]}..."
    return str(getattr(type(value), "kind", type(value).__name__))
