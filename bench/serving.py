"""The server of every benchmark: rclone on loopback, over http or https, on a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.local_ca import make_certificate
from support.servers import Server, rclone_server


@contextmanager
def serving(scheme: str, folder: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """rclone, and what clients must be told to trust it."""
    if scheme == "http":
        with rclone_server() as server:
            yield server, {}
        return
    certificate = make_certificate(folder)
    trust = {"AWS_CA_BUNDLE": str(certificate.authority)}
    os.environ.update(trust)
    try:
        with rclone_server(certificate) as server:
            yield server, trust
    finally:
        del os.environ["AWS_CA_BUNDLE"]
