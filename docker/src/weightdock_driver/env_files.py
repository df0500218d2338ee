"""Settings, proxies and a CA bundle, from the environment and ``.env`` or from the files that a command names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weightdock import env_file, settings
from weightdock.errors import ConfigurationError
from weightdock.settings import Settings
from weightdock.settings.variables import Variables, inherited_environment, of_this_process
from weightdock_driver.run_spec import Variable

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
AUTHORITY_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Where several are set, the first one's is given to the containers: it is what weightdock itself goes by."""


@dataclass(frozen=True)
class Given:
    """What the containers are told: ``settings``, ``proxies`` as they are set here, and a CA bundle's file, if any."""

    settings: Settings
    proxies: tuple[Variable, ...] = ()
    authorities: Path | None = None


def load(files: Sequence[Path]) -> Given:
    """What ``files`` say, a later one over an earlier; what the environment and ``.env`` say when there are none.

    Files replace both: a demo that took its endpoint from a file and its keys from the environment would send something
    real somewhere else. Where this machine keeps its files is another matter: there the environment's word counts where
    the files have none. Raises ConfigurationError.
    """
    if not files:
        return _given(of_this_process())
    given = {name: value for name, value in inherited_environment().items() if name == "WEIGHTDOCK_CACHE"}
    for path in files:
        given.update({name: value for name, value in env_file.read(path, given).items() if value})
    return _given(Variables(given, Path(os.devnull)))


def _given(variables: Variables) -> Given:
    read = settings.read(variables)
    proxies = [(name, variables.plain(name) or variables.plain(name.lower())) for name in PROXIES]
    bundles = [(name, variables.plain(name)) for name in AUTHORITY_VARIABLES if variables.plain(name)]
    for name, value in bundles:
        if not _is_readable(Path(value)):
            raise ConfigurationError(
                f"{name} cannot be used",
                cause=f"{value} is no file, or not one that this user may read",
                next=f"mend the path in {name}, or unset it",
            )
    return Given(
        read,
        # In both spellings, since some programs read only one of the two.
        tuple(Variable(spelt, value) for name, value in proxies if value for spelt in (name, name.lower())),
        Path(bundles[0][1]).resolve() if bundles else None,
    )


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except PermissionError:  # of a folder above
        return False
