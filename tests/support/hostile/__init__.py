"""Hostile checkpoints, each with a name, and genuine ones beside them.

::

    hostile/
    ├── gadgets.py         Python's own library: they run here, where a pickle is simply loaded
    ├── foreign.py         torch, numpy, pip: they would run where those are installed
    ├── abuse.py           allowed names, used otherwise than checkpoints use them
    ├── opcodes.py         tricks with pickle itself
    ├── archives.py        tricks with the zip around the pickle
    ├── formats.py         files that are no zip
    ├── genuine.py         the eight registered kinds
    └── case.py  assembler.py  torch_format.py       what these are made with
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from support.hostile import abuse, archives, foreign, formats, gadgets, opcodes
from support.hostile.case import Hostile

CORPUS: tuple[Hostile, ...] = tuple(
    chain(
        gadgets.by_name(),
        gadgets.published(),
        gadgets.chains(),
        foreign.gadgets(),
        abuse.calls(),
        abuse.carried(),
        abuse.states(),
        abuse.memory(),
        abuse.acted_on(),
        opcodes.names(),
        opcodes.streams(),
        opcodes.bombs(),
        archives.members(),
        archives.disagreements(),
        archives.bombs(),
        formats.others(),
        formats.legacy(),
    )
)


def careless_loader() -> str:
    """The script that unpickles what it is given."""
    return str(Path(__file__).with_name("careless.py"))
