"""What no fill can beat on this machine, as commands beside the others: ``python limits.py copy|hash|both|loopback``.

``python bench/limits.py MODE FOLDER INTO``: copy the files and sync them, hash them as weightdock does, both side by
side, or send them through a bare socket of loopback to somebody who throws them away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Process
from pathlib import Path

_PIECE_BYTES = 256 * 1024


def copy(folder: Path, into: Path) -> None:
    """As durable as weightdock leaves them."""
    for path in folder.iterdir():
        shutil.copyfile(path, into / path.name)
        with (into / path.name).open("rb") as copied:
            os.fsync(copied.fileno())


def digest(folder: Path, _into: Path, cores: int = 1) -> None:
    """By OpenSSL, as weightdock hashes."""

    def one(path: Path) -> None:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(one, folder.iterdir()))


def check(folder: Path, into: Path) -> None:
    """What somebody runs after a tool that checks nothing: no limit, but a part of a contender."""
    digest(folder, into, cores=2)


def both(folder: Path, into: Path) -> None:
    """On two cores."""
    _beside(copy, digest, folder, into)


def loopback(folder: Path, _into: Path) -> None:
    """By sendfile, into one buffer."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    def send(folder: Path, _into: Path) -> None:
        connection, _ = listening.accept()
        with connection:
            for path in folder.iterdir():
                with path.open("rb") as stream:
                    connection.sendfile(stream)

    def receive(_folder: Path, _into: Path) -> None:
        buffer = bytearray(_PIECE_BYTES)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while connection.recv_into(buffer):
                pass

    _beside(send, receive, folder, _into)


def _beside(one: Callable[[Path, Path], None], other: Callable[[Path, Path], None], folder: Path, into: Path) -> None:
    first = Process(target=one, args=(folder, into))
    first.start()
    other(folder, into)
    first.join()
    if first.exitcode:
        sys.exit(first.exitcode)


MODES: dict[str, Callable[[Path, Path], None]] = {"copy": copy, "hash": digest, "both": both, "loopback": loopback}

if __name__ == "__main__":
    (MODES | {"check": check})[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
