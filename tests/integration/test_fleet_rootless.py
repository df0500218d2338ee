"""The driver on engines that have its containers' users as others of the host: with userns-remap, and without root."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import mapped
from support.command import Ran, run
from support.fleet import GATEWAY, Host, bridge
from support.latency_proxy import LatencyProxy
from support.local_ca import make_certificate
from support.mirrored import mirrored
from support.plays import build
from support.r2_bench import KEY, Place
from support.r2_double import R2Double
from support.servers import Server
from weightdock.artifact import ModelId
from weightdock.store.r2 import R2Store

pytestmark = [pytest.mark.fleet, pytest.mark.engine]

MODEL = ModelId.parse("timm/convnext_tiny")
WEIGHTS = os.urandom(100_000)
KINDS = {
    # What makes the host, who is user 10001 there, and who has a new folder: root, or whose engine it is.
    "userns-remap": (mapped.remapped, mapped.FIRST + 10001, 0),
    "rootless": (mapped.rootless, mapped.FIRST + 10000, mapped.UID),
}


@dataclass(frozen=True)
class Mapped:
    """An engine, and a store with one model that its containers reach."""

    kind: str
    host: Host
    place: Place
    folder: Path
    tag: str
    writer: int
    owner: int

    def driver(self, *arguments: str) -> Ran:
        store = self.folder / "store.env"
        store.write_text("".join(f"{name}={value}\n" for name, value in self.place.environment().items()))
        command = [sys.executable, "-m", "weightdock_driver.cli", "--env-file", str(store), *arguments]
        command += ["--tag", self.tag, "--model", str(MODEL)]
        return run(command, {"DOCKER_HOST": self.host.socket}, cwd=self.folder)

    def new_folder(self, owner: int) -> Path:
        made = Path(tempfile.mkdtemp(dir=self.folder))
        made.chmod(0o755)
        os.chown(made, owner, owner)
        return made


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, behind_r2: Server) -> Iterator[Mapped]:
    make, writer, owner = KINDS[request.param]
    tag = f"mappedtest-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        # Not pytest's folder, which is root's alone: the containers' users go through it.
        folder = Path(tempfile.mkdtemp(prefix="weightdock-mapped-"))
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o711)
        host = make("wdfleet-1", "10.213.77.11", folder / "host")
        stack.enter_context(bridge())
        stack.enter_context(host.connected("wdfleet1"))
        stack.enter_context(host.running())
        play, node = f"weightdock/timm-uploader:{tag}", f"weightdock/node:{tag}"
        build(folder, play, "succeed", str(MODEL))
        subprocess.run(["docker", "tag", "weightdock/node", node], check=True)
        saved = subprocess.run(["docker", "save", play, node], check=True, capture_output=True).stdout
        subprocess.run(["docker", "image", "rm", play, node], check=True, capture_output=True)
        host.docker("load", "--quiet", input=saved)
        bucket = behind_r2.new_bucket()
        mirrored(R2Store(behind_r2.settings(bucket)), MODEL, WEIGHTS, folder)
        certificate = make_certificate(folder, GATEWAY)
        double = stack.enter_context(R2Double(behind_r2.url, [KEY], certificate=certificate))
        reached = stack.enter_context(LatencyProxy(double.url, host=GATEWAY))
        place = Place(reached.url, behind_r2, bucket, certificate.authority)
        yield Mapped(request.param, host, place, folder, tag, writer, owner)


def test_the_engine_is_what_it_is_meant_to_be(engine: Mapped) -> None:
    told = engine.host.docker("info", "--format", "{{json .SecurityOptions}}")
    assert {"userns-remap": "name=userns", "rootless": "name=rootless"}[engine.kind] in told


def test_an_upload_goes_well_and_leaves_nothing(engine: Mapped) -> None:
    ran = engine.driver("upload", "--cache", "uploaders")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.endswith("1 model: 1 uploaded · 1.0 MB\n")
    assert engine.host.docker("ps", "--all", "--quiet") == ""
    limits = engine.host.docker("info", "--format", "{{.MemoryLimit}}") == "true"
    assert ("drops the containers' limits" in ran.stderr) is not limits


def test_a_volume_is_filled_as_on_any_engine(engine: Mapped) -> None:
    for outcome in ("1 fetched", "1 in the cache"):
        ran = engine.driver("bootstrap", "--cache", "filled")
        assert ran.code == 0, ran.stderr + ran.stdout
        assert outcome in ran.stdout


def test_a_folder_of_who_user_10001_is_on_the_host_is_filled(engine: Mapped) -> None:
    cache = engine.new_folder(engine.writer)
    ran = engine.driver("bootstrap", "--cache", str(cache))
    assert ran.code == 0, ran.stderr + ran.stdout
    filled = cache / "timm" / "convnext_tiny.pth"
    assert (filled.read_bytes(), filled.stat().st_uid) == (WEIGHTS, engine.writer)


def test_where_a_folder_cannot_be_written_the_next_step_that_is_told_makes_it_so(engine: Mapped) -> None:
    cache = engine.new_folder(engine.owner)
    refused = engine.driver("bootstrap", "--cache", str(cache))
    assert refused.code == 2
    assert f"error: the cache {cache} cannot be written by the containers\ncause: [Errno 13] " in refused.stdout
    told = refused.stdout.partition("\nnext: on the engine's host: ")[2].partition("; ")[0]
    step = shlex.split(told.removeprefix("sudo "))  # the test is root, whom the step with sudo is for
    subprocess.run(step, check=True, env=os.environ | {"DOCKER_HOST": engine.host.socket}, capture_output=True)
    again = engine.driver("bootstrap", "--cache", str(cache))
    assert again.code == 0, again.stderr + again.stdout
    assert (cache / "timm" / "convnext_tiny.pth").read_bytes() == WEIGHTS
