"""``hf download`` as a contender of a cold fill: from the local origin, which answers as Hugging Face's hub does.

It compares sizes, not digests: given a file under another's digest it ends with 0 (tried with huggingface_hub 2.4.0).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from peers import Command
from support.command import environment
from support.servers import running

NAME = "hf download, of local-origin"
CHECKS = "size"
_REPOSITORY = "weightdock/bench"
_SERVE = Path(__file__).parents[1] / "docker" / "local" / "origin" / "serve.py"


@contextmanager
def hub(folder: Path, files: Path, into: Path) -> Iterator[tuple[Command, dict[str, str]]]:
    """The command that downloads those files, as a repository, and its environment. ``folder`` is of their disk."""
    home = folder / "hub" / "hf" / _REPOSITORY
    home.mkdir(parents=True)
    for path in files.iterdir():
        os.link(path, home / path.name)
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        (home / f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    serve: Command = [sys.executable, _SERVE, "--root", folder / "hub", "--port", "0"]
    with running("hub", serve) as server:
        settings = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(folder / "hf-home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",  # the origin offers none
        }
        command: Command = [Path(sys.executable).with_name("hf"), "download", _REPOSITORY, "--local-dir", into]
        yield command, environment(settings)
