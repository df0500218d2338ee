"""The driver on other engines than this machine's: older, remote, gone in mid-run. Each is a dockerd of the test's."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.debian import unpacked
from support.fleet import Host, bridge
from support.local_ca import make_certificate
from support.plays import build, store_file

pytestmark = [pytest.mark.fleet, pytest.mark.engine]

PLAYS = ("succeed", "wait")


@dataclass(frozen=True)
class Engines:
    """Debian 13's engine, which also listens on TCP with TLS, and Debian 12's."""

    new: Host
    old: Host
    certificates: Path
    folder: Path
    tag: str
    stack: ExitStack
    processes: dict[str, subprocess.Popen[bytes]]

    def start(self, play: str, **environment: str) -> subprocess.Popen[str]:
        """The driver, told by these variables where the engine is."""
        command = [sys.executable, "-m", "weightdock_driver.cli", "--env-file", str(store_file(self.folder)), "upload"]
        command += ["--tag", f"{self.tag}-{play}", "--model", "convnext_tiny", "--cache", f"cache-{self.tag}"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=clean | environment)

    def run(self, **environment: str) -> tuple[int, str, str]:
        """An upload that goes well, if the engine is found: no other has its image."""
        process = self.start("succeed", **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    folder, tag = tmp_path_factory.mktemp("engines"), f"enginetest-{secrets.token_hex(4)}"
    old_root = unpacked("docker.io", "bookworm") / "usr"
    old_dockerd = f"env PATH={old_root}/sbin:{old_root}/bin:$PATH dockerd"
    new = Host("wdfleet-1", "10.213.77.11", folder / "new")
    old = Host("wdfleet-2", "10.213.77.12", folder / "old", old_dockerd)
    certificates = folder / "certificates"
    certificates.mkdir()
    made = make_certificate(certificates, new.address)
    for name, path in (("ca.pem", made.authority), ("cert.pem", made.chain), ("key.pem", made.key)):
        shutil.copy(path, certificates / name)
    tls = f"--host tcp://{new.address}:2376 --tlsverify"
    tls += f" --tlscacert {made.authority} --tlscert {made.chain} --tlskey {made.key}"
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", str(new.folder), str(old.folder)], check=True)
        stack.enter_context(bridge())
        for host, veth in ((new, "wdfleet1"), (old, "wdfleet2")):
            stack.enter_context(host.connected(veth))
        processes = {host.name: stack.enter_context(host.running(more)) for host, more in ((new, tls), (old, ""))}
        images = [build(folder, f"weightdock/timm-uploader:{tag}-{play}", play, "timm/convnext_tiny") for play in PLAYS]
        saved = subprocess.run(["docker", "save", *images], check=True, capture_output=True).stdout
        subprocess.run(["docker", "image", "rm", "--force", *images], check=True, capture_output=True)
        for host in (new, old):
            host.docker("load", "--quiet", input=saved)
        yield Engines(new, old, certificates, folder, tag, stack, processes)


def left(host: Host) -> str:
    return host.docker("ps", "--all", "--quiet")


def test_debian_12s_engine_20_10_does_it_too(engines: Engines) -> None:
    assert engines.old.docker("version", "--format", "{{.Server.Version}}").startswith("20.10.")
    code, out, err = engines.run(DOCKER_HOST=engines.old.socket)
    assert code == 0, err
    assert out.endswith("1 model: 1 uploaded · 1.0 MB\n")
    assert left(engines.old) == ""


def test_debian_12s_engine_20_10_has_swarm_jobs_too(engines: Engines) -> None:
    engines.old.docker("swarm", "init", "--advertise-addr", engines.old.address)
    try:
        store = store_file(engines.folder)
        node = f"weightdock/node:{engines.tag}"
        engines.old.docker("tag", f"weightdock/timm-uploader:{engines.tag}-succeed", node)
        command = [sys.executable, "-m", "weightdock_driver.cli", "--env-file", str(store), "swarm", "bootstrap"]
        command += ["--tag", engines.tag, "--model", "convnext_tiny", "--cache", "a-volume", "--jitter", "0"]
        environment = os.environ | {"DOCKER_HOST": engines.old.socket}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        assert ran.stdout.endswith("1 node: 1 filled\n")
        assert engines.old.docker("service", "ls", "-q") + engines.old.docker("secret", "ls", "-q") == ""
    finally:
        engines.old.docker("swarm", "leave", "--force")


def test_the_chosen_docker_context_is_the_engine(engines: Engines, tmp_path: Path) -> None:
    configured = os.environ | {"DOCKER_CONFIG": str(tmp_path)}
    where = f"host={engines.new.socket}"
    create = ["docker", "context", "create", "there", "--docker", where]
    subprocess.run(create, check=True, capture_output=True, env=configured)
    subprocess.run(["docker", "context", "use", "there"], check=True, capture_output=True, env=configured)
    assert engines.run(DOCKER_CONFIG=str(tmp_path))[0] == 0
    subprocess.run(["docker", "context", "use", "default"], check=True, capture_output=True, env=configured)
    assert engines.run(DOCKER_CONFIG=str(tmp_path))[0] == 6, "this machine's engine has no such image"
    assert engines.run(DOCKER_CONFIG=str(tmp_path), DOCKER_CONTEXT="there")[0] == 0


def test_an_engine_on_tcp_is_asked_with_tls_and_refuses_who_has_no_certificate(engines: Engines) -> None:
    there = {"DOCKER_HOST": f"tcp://{engines.new.address}:2376", "DOCKER_TLS_VERIFY": "1"}
    code, _, err = engines.run(**there, DOCKER_CERT_PATH=str(engines.certificates))
    assert code == 0, err
    stranger = engines.folder / "stranger"
    stranger.mkdir()
    own = make_certificate(stranger)
    for name, path in (("ca.pem", own.authority), ("cert.pem", own.chain), ("key.pem", own.key)):
        shutil.copy(path, stranger / name)
    code, _, err = engines.run(**there, DOCKER_CERT_PATH=str(stranger))
    assert code == 6
    assert err.count("error: no container engine answers\n") == 1


def test_an_engine_by_ssh_is_reached_through_the_users_own_ssh(engines: Engines, tmp_path: Path) -> None:
    # In place of ssh: what sshd would start on the other machine, and the words that it was started with.
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexec docker --host {engines.new.socket} system dial-stdio\n'
    )
    ssh.chmod(0o755)
    code, _, err = engines.run(DOCKER_HOST="ssh://me@gpu-1", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert code == 0, err
    assert "gpu-1" in (tmp_path / "asked").read_text()


def test_an_engine_that_ends_in_mid_run_is_an_error_of_the_engine_for_every_model(engines: Engines) -> None:
    process = engines.start("wait", DOCKER_HOST=engines.new.socket)
    assert process.stderr
    for line in process.stderr:
        if "upload started" in line:
            break
    engines.processes[engines.new.name].kill()
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 6
    assert time.monotonic() - began < 10
    assert "error: lost the container engine: could not " in out + err
    # The container is still on the dead engine's disk; the next run on it finds and removes it.
    engines.stack.enter_context(engines.new.running())
    assert left(engines.new) != ""
    code, _, err = engines.run(DOCKER_HOST=engines.new.socket)
    assert code == 0, err
    assert ": its driver was killed\n" in err
    assert left(engines.new) == ""
