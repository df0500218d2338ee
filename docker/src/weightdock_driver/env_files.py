"""Settings from files that a command names, for stores that are not the one of this machine's environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values

from weightdock import settings
from weightdock.errors import ConfigurationError
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
        try:
            given.update({name: value for name, value in dotenv_values(path).items() if value})
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read", cause=str(error), next="make it a readable UTF-8 file"
            ) from error
    return settings.load(given, dotenv=Path(os.devnull))
