"""Imported before the Docker SDK, which would import paramiko whatever the engine's address.

That takes 0.1 to 0.2 s of every run, and is for ``ssh://`` only, where the ssh command does the work (see engine.py).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_NAME = "paramiko"


class _Late(ModuleType):
    """Stands for the library until something of it is asked for. importlib's LazyLoader does not outlast an import."""

    def __getattr__(self, attribute: str) -> Any:
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(import_module(_NAME), attribute)


sys.modules.setdefault(_NAME, _Late(_NAME))
