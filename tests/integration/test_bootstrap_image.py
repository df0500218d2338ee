"""Where the one file that fills a node has its image from: a file, a registry, or the checkout around it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from support.node_machine import MODEL, ROOT, WEIGHTS, Machine
from support.registry import registry
from support.stand_ins import docker

pytestmark = pytest.mark.engine

FROM_TAR = "WEIGHTDOCK_IMAGE_TAR=<file of 'docker save'>"


@dataclass(frozen=True)
class Images:
    """Images that only this test has, each the node's with a file of its own, so that a pull has a layer to fetch."""

    id: str
    made: list[str] = field(default_factory=list)

    def new(self, tag: str, file: Path = Path("/etc/hostname"), into: str = "/opt") -> str:
        container = docker("create", "weightdock/node")
        try:
            docker("cp", str(file), f"{container}:{into}")
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


def test_an_image_that_is_not_here_is_loaded_from_a_file_or_named(machine: Machine, images: Images) -> None:
    tag = f"weightdock/node:{images.id}"
    missing = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag)
    assert (missing.code, missing.summary["exit_code"]) == (6, 6)
    assert missing.err.endswith(
        f"error: no image {tag}\ncause: it is not here, and nothing says where it is to come from\n"
        f"next: {FROM_TAR}; or WEIGHTDOCK_IMAGE=<registry>/<name>:<tag> and WEIGHTDOCK_PULL=1; "
        "or run this from a checkout, without WEIGHTDOCK_IMAGE\n"
    )
    no_tar = machine.boot(WEIGHTDOCK_IMAGE=tag, WEIGHTDOCK_IMAGE_TAR="/nowhere.tar")
    assert "open /nowhere.tar: no such file" in no_tar.err
    assert (no_tar.code, no_tar.summary["error"]["next"]) == (
        6,
        "mend what docker says above; if it was loaded, WEIGHTDOCK_IMAGE=<the name that it has there>",
    )
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
        f"next: mend what the registry says above (the name, the network, 'docker login'), or {FROM_TAR}\n"
    )
    assert (missing.code, missing.summary["exit_code"], missing.summary["report"]) == (6, 6, None)
    assert missing.summary["error"] == {
        "what": f"no image {tag}",
        "cause": "it is not here, and what was tried did not give it (see above)",
        "next": f"mend what the registry says above (the name, the network, 'docker login'), or {FROM_TAR}",
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


def test_an_uploader_s_image_fills_the_node_too_and_uploads_nothing(machine: Machine) -> None:
    image = "weightdock/timm-uploader:latest"
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=image)
    assert (booted.code, booted.summary["report"]["results"][0]["outcome"]) == (0, "fetched"), booted.err
    assert (machine.cache / "timm" / "convnext_tiny.pth").read_bytes() == WEIGHTS
    misspelt = machine.boot("--modle", WEIGHTDOCK_IMAGE=image).summary["error"]
    assert docker(*misspelt["next"].split()[1:]).startswith("Usage: weightdock fetch ")


def test_an_image_that_gives_no_report_is_no_success(machine: Machine, images: Images) -> None:
    silent = machine.folder / "weightdock"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    tag = f"weightdock/node:{images.id}"
    images.new(tag, silent, "/opt/weightdock/bin/weightdock")
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_IMAGE=tag)
    assert (booted.code, booted.summary["exit_code"], booted.summary["report"]) == (6, 6, None)
    assert booted.summary["error"] == {
        "what": f"no report came from {tag}",
        "cause": f"'weightdock fetch --json --model {MODEL}' ended with 0 there, and gave none",
        "next": "WEIGHTDOCK_IMAGE=<an image of weightdock/node>",
    }
