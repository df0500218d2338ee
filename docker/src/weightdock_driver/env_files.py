"""Settings from files that a command names, for stores that are not the one of this machine's environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from weightdock import env_file, settings
from weightdock.settings import Settings


def load(files: Sequence[Path]) -> Settings:
    """The settings of ``files``, a later one over an earlier; of the environment and ``.env`` when there are none.

    Files replace both entirely: a demo that took its endpoint from a file and its keys from the environment would
    send something real somewhere else. Raises ConfigurationError.
    """
    if not files:
        return settings.load()
    given: dict[str, str] = {}
    for path in files:
        given.update({name: value for name, value in env_file.read(path, given).items() if value})
    return settings.load(given, dotenv=Path(os.devnull))
