"""What is asked and taken where nothing is to be done: a run, and a dry run, beside what peers do for the same.

Part of bench/upload.py. The files are small: what costs here is the number of models. A peer compares size and time,
of a folder that it has copied before; weightdock its catalogue with manifest and listing.
"""

from __future__ import annotations

import compileall
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness import Sample, run
from peers import Command, Peers
from support import mirrored
from support.command import WEIGHTDOCK, environment
from support.samples import TOY, content
from support.servers import Server
from support.toy import with_third_framework

COUNTS = (8, 1826)
"""The models of the catalogues; all names that timm has."""

CHECKS = {"weightdock": "size, manifest", "s5cmd": "size, time", "rclone": "size, time"}
DRY = {"no-op": False, "plan": True}


def in_place(
    server: Server, bucket: str, folder: Path, count: int
) -> Callable[[bool, str], dict[str, Callable[[], Sample]]]:
    """Have ``count`` models there for each contender. Gives what makes them, dry or not, for an address."""
    names = [f"model_{number}" for number in range(count)]
    home = with_third_framework(folder / "package")
    mirrored.catalogue(home, names)
    compileall.compile_dir(home, quiet=1)  # as an installed one is
    mirrored.fill(server, bucket, names)
    files = folder / "small"
    files.mkdir()
    for name in names:
        (files / f"{name}.bin").write_bytes(content(name))
    make = partial(_contenders, bucket=bucket, home=home, files=files, folder=folder)
    for name, contender in make(False, server.url).items():
        if name != "weightdock":
            contender()
    return make


def _contenders(
    dry: bool, url: str, *, bucket: str, home: Path, files: Path, folder: Path
) -> dict[str, Callable[[], Sample]]:
    peers = Peers(url, {})
    cache = {"WEIGHTDOCK_CACHE": str(folder / "cache"), "PYTHONPATH": str(home)}
    ours = environment(Server("any", url).environment(bucket, **cache))
    theirs = peers.environment()
    dry_run: Sequence[str] = ["--dry-run"] if dry else []
    commands: dict[str, Command] = {
        "weightdock": [WEIGHTDOCK, "upload", "--framework", str(TOY), *dry_run, "--json"],
        "s5cmd": peers.s5cmd(*dry_run, "sync", f"{files}/", f"s3://{bucket}/s5cmd/"),
        "rclone": peers.rclone("copy", *dry_run, files, peers.remote(f"{bucket}/rclone")),
    }
    return {
        name: partial(run, command, ours if name == "weightdock" else theirs, folder)
        for name, command in commands.items()
    }
