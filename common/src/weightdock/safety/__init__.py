"""May the framework's safe loader open this file? Answered without unpickling and without importing torch.

::

    safety/
    ├── gate.py           tells the format by content, never by extension, and asks the others
    ├── archive.py        the zip that torch.save writes; every other zip is refused
    ├── legacy.py         what it wrote before 1.6: several pickles one after another; bare pickles
    ├── safetensors.py    nothing to execute: the header has to be sane
    ├── walk.py           follows a pickle's opcodes on the abstract stack.py of values.py
    ├── calls.py          the arguments and states that pass; texts.py: the text that frameworks act upon
    ├── refusal.py        what says no, with the file and the name
    └── allow.py          the allow-list, from torch.toml and <framework>.toml

SECURITY.md says what this gate does not do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A file that may be loaded: its format, by which list, and the names that it asks for, sorted."""

    format: str
    allow_list_version: int
    names: tuple[str, ...]
