"""Everything that can go wrong, as one small class per kind.

A message has three parts, because an engineer who is woken by it needs three: what happened, why, and the
command or setting that helps. Only :mod:`weightdock.cli` (and the driver's cli) catch these and exit.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes. The worst of a run wins, and worst is highest."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    ORIGIN = 3
    INTEGRITY = 4
    STORE = 5
    ENGINE = 6


CONTINUED = "  "
"""What each line of a message's part begins with, after its first."""


def printable(text: str) -> str:
    """The text as a terminal may have it: what a checkpoint, a manifest or an origin says must not drive one."""
    if text.isprintable():  # as nearly always, and a hundred times as fast
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def message(what: str, *, cause: str, next: str) -> str:
    """The three parts, each beginning a line. What an origin or a store says may have lines that look like them."""
    parts = (f"error: {what}", f"cause: {cause}", f"next: {next}")
    return "\n".join(printable(part).replace("\n", f"\n{CONTINUED}") for part in parts)


class WeightdockError(Exception):
    """Base of every error that weightdock raises on purpose."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, what: str, *, cause: str, next: str) -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.next = next

    @property
    def fields(self) -> dict[str, int | str]:
        """The error as JSON has it; :func:`of_kind` makes it one again."""
        return {"exit_code": int(self.exit_code), "what": self.what, "cause": self.cause, "next": self.next}

    def __str__(self) -> str:
        return message(self.what, cause=self.cause, next=self.next)


class ConfigurationError(WeightdockError):
    """A setting, an argument or a catalogue that cannot be used."""

    exit_code = ExitCode.USAGE


class OriginError(WeightdockError):
    """The origin did not give the file: unreachable, unknown there, or gone."""

    exit_code = ExitCode.ORIGIN


class IntegrityError(WeightdockError):
    """Bytes that are not what they should be, or that must not be loaded."""

    exit_code = ExitCode.INTEGRITY


class StoreError(WeightdockError):
    """The object store refused or could not be reached, or the local disk could not take the bytes."""

    exit_code = ExitCode.STORE


class DiskError(StoreError):
    """What is too little, or does not work, is on this machine: another source would not help."""


class ManifestError(StoreError):
    """A manifest that makes no sense. Other frameworks have others."""


class EngineError(WeightdockError):
    """No container engine, or no right to it, or it failed."""

    exit_code = ExitCode.ENGINE


_KINDS: dict[ExitCode, type[WeightdockError]] = {
    kind.exit_code: kind
    for kind in (WeightdockError, ConfigurationError, OriginError, IntegrityError, StoreError, EngineError)
}


def of_kind(exit_code: int, what: str, *, cause: str, next: str) -> WeightdockError:
    """The error of the kind that ``exit_code`` names: how one process hands an error to another."""
    return _KINDS[ExitCode(exit_code)](what, cause=cause, next=next)
