"""A machine with ``docker/bootstrap-node`` alone, and a store that holds one model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from support.command import environment
from support.mirrored import mirrored
from support.servers import Server
from weightdock.artifact import ModelId
from weightdock.store.r2 import R2Store

ROOT = Path(__file__).parents[2]
MODEL = ModelId.parse("timm/convnext_tiny")
WEIGHTS = os.urandom(100_000)


@dataclass(frozen=True)
class Booted:
    code: int
    summary: dict[str, Any]
    err: str


@dataclass(frozen=True)
class Machine:
    """A node with this script alone: no checkout around it."""

    folder: Path
    given: dict[str, str]
    stdin: IO[str] | None = None

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def begin(self, *arguments: str, script: Path | None = None, **changed: str) -> subprocess.Popen[str]:
        script = script or Path(shutil.copy(ROOT / "docker" / "bootstrap-node", self.folder))
        return subprocess.Popen(
            [script, *arguments],
            env=environment(self.given | {"WEIGHTDOCK_CACHE": str(self.cache), "WEIGHTDOCK_NETWORK": "host"} | changed),
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def boot(self, *arguments: str, script: Path | None = None, **changed: str) -> Booted:
        with self.begin(*arguments, script=script, **changed) as running:
            out, err = running.communicate()
        (line,) = out.splitlines()
        return Booted(running.returncode, json.loads(line), err)


@pytest.fixture
def machine(rclone: Server, tmp_path: Path) -> Machine:
    bucket = rclone.new_bucket()
    mirrored(R2Store(rclone.settings(bucket)), MODEL, WEIGHTS, tmp_path)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    return Machine(tmp_path, rclone.environment(bucket))
