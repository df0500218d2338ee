"""One hostile file, and how a careless loader would have run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.hostile.assembler import assemble
from support.hostile.torch_format import torch_zip

PICKLESCAN = "https://github.com/mmaitre314/picklescan/security/advisories/"
FICKLING = "https://github.com/trailofbits/fickling/security/advisories/"


@dataclass(frozen=True)
class Hostile:
    """``build`` gives the file. Its payload, if it runs, makes the file that it is given: the canary.

    ``because`` is in the message: refused for another reason, it would prove nothing.
    ``pickles`` gives what a careless loader unpickles of it, in order; None where the payload needs what the unit tests
    do not have (torch, numpy, pip, a network), or where there is nothing to run: a bomb, a lie.
    """

    name: str
    build: Callable[[Path], bytes]
    because: str = "not on the allow-list"
    pickles: Callable[[Path], list[bytes]] | None = None
    file_name: str = "model.pt"
    framework: str = "ultralytics"
    source: str = ""

    def __str__(self) -> str:
        return self.name


def gadget(
    name: str,
    value: Callable[[Path], object],
    *,
    because: str = "not on the allow-list",
    protocol: int = 2,
    runs: bool = True,
    source: str = "",
) -> Hostile:
    """A checkpoint in torch's zip whose pickle holds ``value`` beside an innocent key."""

    def content(canary: Path) -> bytes:
        return assemble({"epoch": -1, "model": value(canary)}, protocol)

    return Hostile(
        name,
        lambda canary: torch_zip(content(canary)),
        because,
        (lambda canary: [content(canary)]) if runs else None,
        source=source,
    )


def shell(canary: Path) -> str:
    """A command that makes the canary."""
    return f"touch {canary}"


def python(canary: Path) -> str:
    """A statement that makes the canary; also an expression."""
    return f"open({str(canary)!r}, 'w').close()"
