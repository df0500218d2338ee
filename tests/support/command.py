"""Run the installed command line as a user does: a process of its own, whose environment is all that it knows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WEIGHTDOCK = Path(sys.executable).with_name("weightdock")
_SETTINGS = ("AWS_", "WEIGHTDOCK_", "HF_")


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and both streams."""

    code: int
    stdout: str
    stderr: str


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``given`` as its only settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)} | dict(given)


def run(command: Sequence[str | Path], given: Mapping[str, str], *, cwd: Path, seconds: float = 60) -> Ran:
    """Run any command; ``cwd`` is where it looks for ``.env``."""
    ended = subprocess.run(
        command, env=environment(given), cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def weightdock(*arguments: str, given: Mapping[str, str], cwd: Path, seconds: float = 60) -> Ran:
    """Run ``weightdock``."""
    return run([WEIGHTDOCK, *arguments], given, cwd=cwd, seconds=seconds)
