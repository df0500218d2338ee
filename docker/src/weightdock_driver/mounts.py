"""Which folders an engine can have: another machine's engine has its own files."""

from __future__ import annotations

import ipaddress
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from weightdock.errors import ConfigurationError
from weightdock_driver.run_spec import Mount


def check_mount(mount: Mount, engine: str) -> None:
    """Refuse a folder that cannot be meant; ``engine`` is the engine's address."""
    if not mount.is_folder or not _is_elsewhere(engine):
        return
    if mount.of_this_machine:
        raise ConfigurationError(
            f"{mount.source} cannot be given to the containers",
            cause=f"it is a file of this machine, and the engine is another's: {engine}",
            next="unset SSL_CERT_FILE, REQUESTS_CA_BUNDLE and AWS_CA_BUNDLE, or run this command there",
        )
    if not PurePosixPath(mount.source).is_absolute():
        raise ConfigurationError(
            f"{mount.source} cannot be the cache's folder",
            cause=f"it is a Windows path, and the engine is another machine's: {engine}",
            next="give the folder's path on that machine, or a volume's name",
        )


def _is_elsewhere(engine: str) -> bool:
    parts = urlsplit(engine)
    if parts.scheme == "ssh":
        return True
    try:
        return parts.scheme in ("tcp", "http", "https") and not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname != "localhost"
