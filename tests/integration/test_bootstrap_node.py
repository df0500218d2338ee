"""The one file that fills a node, on a real engine, with a store on this machine."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.command import environment
from support.mirrored import mirrored
from support.registry import registry
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

    def begin(self, *arguments: str, script: Path | None = None, **changed: str) -> subprocess.Popen[str]:
        script = script or Path(shutil.copy(ROOT / "docker" / "bootstrap-node", self.folder))
        return subprocess.Popen(
            [script, *arguments],
            env=environment(self.given | {"WEIGHTDOCK_CACHE": str(self.cache), "WEIGHTDOCK_NETWORK": "host"} | changed),
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


@dataclass(frozen=True)
class Images:
    """Images that only this test has, each the node's with a file of its own, so that a pull has a layer to fetch."""

    id: str
    made: list[str] = field(default_factory=list)

    def new(self, tag: str) -> str:
        container = docker("create", "weightdock/node")
        try:
            content = subprocess.run(["tar", "-c", "/etc/hostname"], check=True, capture_output=True).stdout
            subprocess.run(["docker", "cp", "-", f"{container}:/opt"], input=content, check=True, capture_output=True)
            self.made.append(docker("commit", "--change", f"LABEL made={uuid4().hex}", container, tag))
        finally:
            docker("rm", container)
        return self.made[-1]

    def forget(self, image: str) -> None:
        docker("image", "rm", "--force", image)


@pytest.fixture
def images() -> Iterator[Images]:
    own = Images(f"test-{uuid4().hex[:12]}")
    yield own
    tagged = docker(
        "image", "ls", "--quiet", "--filter", f"reference=*/{own.id}", "--filter", f"reference=*/*:{own.id}"
    )
    for image in {*tagged.split(), *own.made}:
        with suppress(subprocess.CalledProcessError):  # it has gone with another of its names
            own.forget(image)


def id_of(tag: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", tag)


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
        "".join(f"{name}={value}\n" for name, value in machine.given.items()) + "WEIGHTDOCK_CACHE=/tmp/elsewhere\n"
    )
    bare = replace(machine, given={})
    booted = bare.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(secrets))
    assert booted.code == 0, booted.err
    assert (machine.cache / "timm/convnext_tiny.pth").read_bytes() == WEIGHTS
    nowhere = bare.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE="/nowhere")
    assert (nowhere.code, nowhere.summary["error"]["what"]) == (2, "the credentials in /nowhere cannot be read")


def test_what_ended_a_run_without_a_report_is_in_the_line_for_machines(machine: Machine) -> None:
    empty = machine.folder / "empty.env"
    empty.touch()
    unset = machine.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(empty))
    away = replace(machine, given=machine.given | {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:1"}).boot()
    unstarted = machine.boot("--model", str(MODEL), WEIGHTDOCK_NETWORK="no-such-network")
    said = [(one.code, one.summary["exit_code"], one.summary["report"]) for one in (unset, away, unstarted)]
    assert said == [(2, 2, None), (5, 5, None), (6, 6, None)]
    for one in (unset, away):
        error = one.summary["error"]
        assert f"error: {error['what']}\ncause: {error['cause']}\nnext: {error['next']}\n" in one.err
    assert unset.summary["error"]["what"] == "R2 credentials not configured"
    assert away.summary["error"]["what"].startswith("the store did not give ")
    assert "no-such-network" in unstarted.summary["error"]["cause"]


def test_an_engine_that_does_not_answer_is_told_with_the_true_cause(machine: Machine) -> None:
    nowhere = "unix:///nonexistent.sock"
    of_a_checkout = machine.boot(script=ROOT / "docker" / "bootstrap-node", DOCKER_HOST=nowhere)
    assert (of_a_checkout.code, of_a_checkout.summary["exit_code"]) == (6, 6)
    assert of_a_checkout.summary["error"]["cause"].startswith(f"DOCKER_HOST is set to {nowhere}: ")
    assert of_a_checkout.err.count("error: ") == 1
    alone = machine.boot(DOCKER_HOST=nowhere)
    assert alone.summary["error"]["cause"].endswith("docker/engine is not beside this script")


def test_a_cache_that_cannot_be_made_is_told_with_what_the_system_says(machine: Machine) -> None:
    machine.cache.write_text("no folder")
    booted = machine.boot()
    assert (booted.code, booted.summary["error"]["what"]) == (2, f"the cache {machine.cache} cannot be made")
    assert booted.summary["error"]["cause"].endswith("File exists")


def test_a_folder_that_cannot_be_given_to_the_image_s_user_is_told(machine: Machine) -> None:
    refuses = machine.folder / "bin" / "chgrp"  # as root is refused where an export squashes it
    refuses.parent.mkdir()
    refuses.write_text("#!/bin/sh\necho chgrp: Operation not permitted >&2\nexit 1\n")
    refuses.chmod(0o755)
    booted = machine.boot(PATH=f"{refuses.parent}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["error"]) == (
        2,
        {
            "what": f"the cache {machine.cache} cannot be made",
            "cause": "chgrp: Operation not permitted",
            "next": "WEIGHTDOCK_CACHE=<folder>",
        },
    )


def test_a_run_that_is_ended_says_so_and_ends_its_container(machine: Machine) -> None:
    def containers() -> list[str]:
        return docker("ps", "--quiet", "--filter", "name=weightdock-node-").split()

    before = containers()
    with machine.begin("--jitter", "3600") as running:
        try:
            while containers() == before and running.poll() is None:
                time.sleep(0.05)
            running.terminate()
            out, _ = running.communicate(timeout=60)
        finally:
            running.kill()  # or a failure would wait for an hour
    summary = json.loads(out)
    assert (running.returncode, summary["exit_code"]) == (143, 143)
    assert summary["error"]["what"] == "ended by SIGTERM"
    assert containers() == before


def test_a_folder_that_is_there_keeps_what_it_allows_to_others(machine: Machine) -> None:
    machine.cache.mkdir()
    machine.cache.chmod(0o1777)
    assert machine.boot("--model", str(MODEL), WEIGHTDOCK_CACHE="cache").code == 0  # below the current folder
    status = machine.cache.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o3777, 10001)


def test_the_gpus_are_counted_where_there_are_some(machine: Machine) -> None:
    smi = machine.folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H100\n")
    smi.chmod(0o755)
    booted = machine.boot("--model", str(MODEL), PATH=f"{machine.folder}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["gpus"]) == (0, 2)
    assert "2 GPUs: 2 NVIDIA H100" in booted.err


def test_an_image_that_is_not_here_is_loaded_from_a_file_or_named(machine: Machine, images: Images) -> None:
    tag = f"weightdock/node:{images.id}"
    missing = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag)
    assert (missing.code, missing.summary["exit_code"]) == (6, 6)
    assert f"error: no image {tag}\ncause: it is not here, and nothing says where it is to come from\n" in missing.err
    images.new(tag)
    tar = machine.folder / "image.tar"
    docker("save", "--output", str(tar), tag)
    images.forget(tag)
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_IMAGE_TAR=str(tar))
    assert booted.code == 0, booted.err
    assert id_of(tag) == images.made[-1]


def test_an_image_is_pulled_and_pulled_again_once_the_registry_has_another(machine: Machine, images: Images) -> None:
    with registry(machine.folder) as address:
        tag = f"{address}/{images.id}"
        first = images.new(tag)
        docker("push", "--quiet", tag)
        images.forget(tag)
        booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_PULL="1")
        assert (booted.code, booted.summary["error"]) == (0, None), booted.err
        assert id_of(tag) == first
        second = images.new(tag)
        docker("push", "--quiet", tag)
        docker("tag", first, tag)
        settled = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag)
        assert (settled.code, id_of(tag)) == (0, first), "nobody said that the registry is to be asked"
        renewed = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_PULL="1")
        assert (renewed.code, id_of(tag)) == (0, second), renewed.err


def test_a_registry_that_is_away_stops_only_a_node_without_the_image(machine: Machine, images: Images) -> None:
    with registry(machine.folder) as address:
        tag = f"{address}/{images.id}"
    missing = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_PULL="1")
    assert "connection refused" in missing.err
    assert missing.err.endswith(
        f"error: no image {tag}\n"
        "cause: it is not here, and what was tried did not give it (see above)\n"
        "next: WEIGHTDOCK_IMAGE_TAR=<file of 'docker save'>, or WEIGHTDOCK_PULL=1, or run this from a checkout\n"
    )
    assert (missing.code, missing.summary["exit_code"], missing.summary["report"]) == (6, 6, None)
    assert missing.summary["error"] == {
        "what": f"no image {tag}",
        "cause": "it is not here, and what was tried did not give it (see above)",
        "next": "WEIGHTDOCK_IMAGE_TAR=<file of 'docker save'>, or WEIGHTDOCK_PULL=1, or run this from a checkout",
    }
    assert not machine.cache.exists()
    images.new(tag)
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_PULL="1")
    assert (booted.code, booted.summary["report"]["results"][0]["outcome"]) == (0, "fetched"), booted.err
    assert "warning: it was not pulled; going on with what is here" in booted.err


def test_the_name_of_what_is_built_here_is_asked_of_no_registry(machine: Machine) -> None:
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_PULL="1")
    assert (booted.code, booted.summary["exit_code"]) == (2, 2)
    assert booted.summary["error"]["what"] == "WEIGHTDOCK_PULL=1 without an image on a registry"
    assert "pulling" not in booted.err


def test_a_checkout_builds_the_image_that_is_not_here_and_needs_no_torch_for_it(
    machine: Machine, images: Images
) -> None:
    checkout, tag = machine.folder / "checkout", f"weightdock/node:{images.id}"
    for name in ("docker", "common", "images"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("compose.yaml", ".dockerignore"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "compose.override.yaml").write_text(f"services: {{node: {{image: '{tag}'}}}}\n")
    given = {"WEIGHTDOCK_IMAGE": tag, "PIP_FIND_LINKS": str(machine.folder), "PIP_EXTRA_INDEX_URL": ""}
    booted = machine.boot("--model", str(MODEL), script=checkout / "docker" / "bootstrap-node", **given)
    assert f"building {tag}" in booted.err
    assert "error: no torch" in booted.err
    assert booted.code == 0, booted.err
    assert (machine.cache / "timm" / "convnext_tiny.pth").read_bytes() == WEIGHTS
