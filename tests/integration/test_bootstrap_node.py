"""The one file that fills a node, on a real engine, with a store on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support.command import environment
from support.mirrored import mirrored
from support.servers import Server
from support.stand_ins import docker
from weightdock.artifact import ModelId
from weightdock.store.r2 import R2Store

pytestmark = pytest.mark.engine

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

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def boot(self, *arguments: str, **changed: str) -> Booted:
        script = self.folder / "bootstrap-node"
        script.write_bytes((ROOT / "docker" / "bootstrap-node").read_bytes())
        script.chmod(0o755)
        ended = subprocess.run(
            [script, *arguments],
            env=environment(self.given | {"WEIGHTDOCK_CACHE": str(self.cache), "WEIGHTDOCK_NETWORK": "host"} | changed),
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        (line,) = ended.stdout.splitlines()
        return Booted(ended.returncode, json.loads(line), ended.stderr)


@pytest.fixture
def machine(rclone: Server, tmp_path: Path) -> Machine:
    bucket = rclone.new_bucket()
    mirrored(R2Store(rclone.settings(bucket)), MODEL, WEIGHTS, tmp_path)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    return Machine(tmp_path, rclone.environment(bucket))


def test_a_node_is_filled_at_the_first_boot_and_asks_nobody_at_the_next(machine: Machine) -> None:
    first = machine.boot("--model", str(MODEL))
    assert first.code == 0, first.err
    (row,) = first.summary["report"]["results"]
    assert (first.summary["exit_code"], first.summary["gpus"], row["outcome"]) == (0, None, "fetched")
    assert (machine.cache / "timm" / "convnext_tiny.pth").read_bytes() == WEIGHTS
    assert "no nvidia-smi here" in first.err
    nowhere = replace(machine, given=machine.given | {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:1"})
    second = nowhere.boot("--model", str(MODEL))
    assert (second.code, second.summary["report"]["results"][0]["outcome"]) == (0, "in the cache"), second.err


def test_secrets_come_from_a_file_or_by_name_and_never_as_an_argument(machine: Machine) -> None:
    secrets = machine.folder / "node.env"
    secrets.write_text(
        "".join(f"{name}={value}\n" for name, value in machine.given.items() if name != "WEIGHTDOCK_CACHE")
    )
    bare = replace(machine, given={})
    booted = bare.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(secrets))
    assert booted.code == 0, booted.err
    missing = bare.boot("--model", "vit_base_patch16_224", WEIGHTDOCK_ENV_FILE="/nowhere")
    assert missing.code == 2
    assert "error: R2 credentials not configured" in missing.err
    assert missing.summary["report"] is None


def test_the_gpus_are_counted_where_there_are_some(machine: Machine) -> None:
    smi = machine.folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H100\n")
    smi.chmod(0o755)
    booted = machine.boot("--model", str(MODEL), PATH=f"{machine.folder}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["gpus"]) == (0, 2)
    assert "2 GPUs: 2 NVIDIA H100" in booted.err


def test_an_image_that_is_not_here_is_loaded_from_a_file_or_named(machine: Machine) -> None:
    tag = f"weightdock/node:test-{os.getpid()}"
    missing = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag)
    assert (missing.code, missing.summary["exit_code"]) == (6, 6)
    assert f"error: no image {tag}" in missing.err
    tar = machine.folder / "image.tar"
    docker("tag", "weightdock/node", tag)
    try:
        docker("save", "--output", str(tar), tag)
        docker("image", "rm", tag)
        booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_IMAGE_TAR=str(tar))
        assert booted.code == 0, booted.err
    finally:
        docker("image", "rm", "--force", tag)
