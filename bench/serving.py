"""The servers of the benchmarks, on loopback, over http or https: rclone on a folder of its own, or moto."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.local_ca import make_certificate
from support.servers import Server, moto_server, rclone_server

_KINDS = {"rclone": rclone_server, "moto": moto_server}


@contextmanager
def serving(scheme: str, folder: Path, kind: str = "rclone") -> Iterator[tuple[Server, dict[str, str]]]:
    """One of the kind, and what clients must be told to trust it."""
    if scheme == "http":
        with _KINDS[kind]() as server:
            yield server, {}
        return
    certificate = make_certificate(folder)
    trust = {"AWS_CA_BUNDLE": str(certificate.authority)}
    os.environ.update(trust)
    try:
        with _KINDS[kind](certificate) as server:
            yield server, trust
    finally:
        del os.environ["AWS_CA_BUNDLE"]
