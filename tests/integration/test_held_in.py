"""Uploaders as they run: what holds them in, where their keys are, and what a hostile origin gets done."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.hostile import CORPUS
from support.stand_ins import BUCKET, ROOT, StandIns, docker, stand_ins
from weightdock_driver import hardening

pytestmark = pytest.mark.engine

DRIVER = Path(sys.executable).with_name("weightdock-driver")
S5CMD = Path(sys.executable).with_name("s5cmd")
IMAGE = "weightdock/ultralytics-uploader"
KEYS = {"AWS_ACCESS_KEY_ID": f"id{secrets.token_hex(8)}", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
SECRETS = KEYS | {"AWS_SESSION_TOKEN": secrets.token_hex(16)}
SLOW = {"yolo11n.pt": {"delay_seconds": 60, "method": "GET"}}
_SECONDS = 60


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_ins(tmp_path_factory.mktemp("stand-ins"), ["ultralytics"], KEYS) as running:
        yield running


def driver(local: StandIns, settings: Path, volume: str, *models: str) -> list[str | Path]:
    named = [word for model in models for word in ("--model", f"ultralytics/{model}")]
    command: list[str | Path] = [DRIVER, "--log-level", "debug", "--env-file", settings, "upload", "--json"]
    return [*command, "--network", local.id, "--cache", local.volume(volume), *named]


def compose(local: StandIns, settings: Path, cache: str = "compose") -> list[str | Path]:
    joining = local.folder / "compose.yaml"  # all else is compose.yaml as it stands
    volumes = f"volumes: {{cache: {{name: {local.volume(cache)}}}}}"
    joining.write_text(f"networks: {{default: {{name: {local.id}, external: true}}}}\n{volumes}\n")
    files: list[str | Path] = ["--file", ROOT / "compose.yaml", "--file", joining, "--env-file", settings]
    name = f"{local.id}-by-compose"
    return [
        *("docker", "compose"),
        *files,
        "run",
        "--rm",
        "-T",
        "--name",
        name,
        "ultralytics-uploader",
        "--model",
        "yolo11n",
    ]


@contextmanager
def running(command: list[str | Path], name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command's process, and the container of that name once its loader's child runs."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + _SECONDS
        while True:
            found = docker("ps", "--quiet", "--no-trunc", "--filter", f"name={name}")
            if found and "weightdock.origins.child" in _processes(found):
                break
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "no loader was started"
            time.sleep(0.1)
        yield process, found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=_SECONDS)


def _processes(container: str) -> str:
    """Empty for one that is not started yet, or not running any more."""
    command = ["docker", "top", container, "-eo", "pid,args"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def inside(container: str, script: str) -> str:
    return docker("exec", container, "sh", "-c", script)


WAYS: dict[str, Callable[[StandIns, Path], list[str | Path]]] = {
    "driver": lambda local, settings: driver(local, settings, "held", "yolo11n"),
    "compose": compose,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_running_uploader_is_held_in_as_promised(local: StandIns, way: str) -> None:
    name = "weightdock-ultralytics-" if way == "driver" else f"{local.id}-by-compose"
    with local.faults(SLOW), running(WAYS[way](local, local.settings(way)), name) as (_, container):
        (told,) = json.loads(docker("inspect", container))
        host = told["HostConfig"]
        assert told["Config"]["User"] == "10001:10001"
        assert (host["Init"], host["ReadonlyRootfs"], host["Privileged"]) == (True, True, False)
        assert (host["CapDrop"], host["CapAdd"] or []) == (["ALL"], [])
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["PidsLimit"] == hardening.PIDS
        assert (host["Memory"], host["MemorySwap"]) == (4 << 30, 4 << 30)
        assert host["PidMode"] == host["UsernsMode"] == host["UTSMode"] == ""
        assert host["IpcMode"] == "private"
        # One volume, the cache: no engine's socket, nothing of the host.
        assert [(one["Type"], one["Destination"]) for one in told["Mounts"]] == [("volume", "/workspace/data/.cache")]
        # And from inside, of every process there is: init, weightdock, its child with the loader, this shell.
        for line in inside(container, "cat /proc/[0-9]*/status").splitlines():
            word, _, value = line.partition(":")
            if word in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(value, 16) == 0, line
            if word in ("Uid", "Gid"):
                assert set(value.split()) == {"10001"}
            if word == "NoNewPrivs":
                assert value.split() == ["1"]
        assert inside(container, "cat /proc/1/comm") in ("docker-init", "tini")
        mounts = {
            line.split()[1]: line.split()[3].split(",") for line in inside(container, "cat /proc/mounts").splitlines()
        }
        assert "ro" in mounts["/"]
        assert {"rw", "noexec", "nosuid", "nodev", "size=65536k"} <= set(mounts["/tmp"])
        assert not [path for path in mounts if path.endswith(".sock")]
        touched = inside(container, "for f in / /etc /opt/weightdock /workspace /tmp /workspace/data/.cache; do "
                         "touch $f/x 2>/dev/null && rm $f/x && echo $f; done; true")  # fmt: skip
        assert touched.split() == ["/tmp", "/workspace/data/.cache"]
        groups = inside(container, "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes "
                        "2>/dev/null || cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max")  # fmt: skip
        assert groups.split() == [str(hardening.PIDS), str(4 << 30)]


def test_compose_and_driver_hold_every_container_in_alike() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIGHTDOCK_")}
    told = subprocess.run(
        ["docker", "compose", "--profile", "local", "--env-file", os.devnull, "config", "--format", "json"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=clean,
    )
    ours = hardening.sdk_arguments(4 << 30)
    (tmp,) = ours.pop("tmpfs").items()
    expected = {**ours, "tmpfs": [":".join(tmp)], "mem_limit": str(4 << 30), "memswap_limit": str(4 << 30)}
    services = json.loads(told.stdout)["services"]
    assert len(services) == 7
    for name, service in services.items():
        assert {word: service.get(word) for word in expected} == expected, name


def test_a_swarm_service_is_held_in_alike() -> None:
    one, (container, resources) = hardening.sdk_arguments(1 << 30), hardening.service_arguments(1 << 30)
    assert (container["Init"], container["ReadOnly"], container["User"]) == (one["init"], one["read_only"], one["user"])
    assert container["CapabilityDrop"] == one["cap_drop"]
    assert container["Privileges"] == {"NoNewPrivileges": one["security_opt"] == ["no-new-privileges:true"]}
    assert [mount["Target"] for mount in container["Mounts"]] == list(one["tmpfs"])
    assert resources == {"Limits": {"MemoryBytes": one["mem_limit"], "Pids": one["pids_limit"]}}


# Keys


@dataclass
class Watch:
    """Everything that anybody on this machine could have read while something ran."""

    seen: dict[str, str] = field(default_factory=dict)
    environments: list[dict[str, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        arguments: set[str] = set()
        for tick in count():
            if self._stop.wait(0.05):
                return
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    told = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    arguments.add(told)
                    if "weightdock.origins.child" in told:
                        pairs = (process / "environ").read_bytes().decode().split("\0")
                        self.environments.append(dict(pair.split("=", 1) for pair in pairs if pair))
                except (OSError, ValueError):
                    continue
            self.seen["arguments"] = "\n".join(arguments)
            if tick % 10:  # each look takes a few processes
                continue
            for container in docker("ps", "--all", "--quiet", "--filter", "label=weightdock.run").split():
                self._look_at(container)

    def _look_at(self, container: str) -> None:
        try:
            (told,) = json.loads(docker("inspect", container))
            told["Config"]["Env"] = []  # the one place where they are: SECURITY.md says so
            self.seen[f"inspect {container}"] = json.dumps(told)
            logged = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
            self.seen[f"log {container}"] = logged.stdout + logged.stderr
        except subprocess.CalledProcessError:
            return  # removed meanwhile


def in_volume(volume: str) -> str:
    """Every name and every byte of a cache."""
    script = "cd /cache && find . && find . -type f -size -2M -exec cat {} +"
    command = [
        "docker",
        "run",
        "--rm",
        "--volume",
        f"{volume}:/cache",
        "--entrypoint",
        "sh",
        "weightdock/node",
        "-c",
        script,
    ]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")


def assert_nowhere(watch: Watch, volume: str, printed: str) -> None:
    image = docker("image", "inspect", IMAGE) + docker("history", "--no-trunc", "--format", "{{json .}}", IMAGE)
    places = {**watch.seen, "image": image, "cache": in_volume(volume), "printed": printed}
    assert {name for name in watch.seen if name.startswith("inspect")}, "no container was seen"
    assert "weightdock-driver" in watch.seen["arguments"]
    for place, text in places.items():
        for name, secret in SECRETS.items():
            assert secret not in text, f"{name} is in {place}"
    for environment in watch.environments:  # of the loaders' children
        assert not [name for name in environment if name.startswith("AWS_")]


def test_no_key_is_anywhere_after_a_success(local: StandIns) -> None:
    watch = Watch()
    with watch.on():
        command = driver(local, local.settings("success", **SECRETS), "success", "yolo11n")
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert watch.environments, "no loader was seen"
    assert_nowhere(watch, local.volume("success"), ended.stdout + ended.stderr)
    manifest = s5cmd(local, "cat", f"s3://{BUCKET}/success/ultralytics/manifest.json")
    assert not [name for name, secret in SECRETS.items() if secret in manifest]


@pytest.mark.parametrize(
    ("wrong", "fault", "code"),
    [
        ({"AWS_SECRET_ACCESS_KEY": SECRETS["AWS_SESSION_TOKEN"]}, {}, 5),  # the store refuses its signature
        ({"AWS_S3_ENDPOINT_URL": "http://nobody:9000"}, {}, 5),
        ({}, {"yolo11n.pt": {"status": 404}}, 3),
    ],
    ids=["refused", "unreachable", "no origin"],
)
def test_no_key_is_anywhere_after_a_failure(
    local: StandIns, wrong: dict[str, str], fault: dict[str, dict[str, object]], code: int
) -> None:
    """With --log-level debug the tracebacks of clients and SDK are shown, if there are any."""
    watch = Watch()
    with watch.on(), local.faults(fault):
        command = driver(local, local.settings("failure", **SECRETS | wrong), "failure", "yolo11n")
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert_nowhere(watch, local.volume("failure"), ended.stdout + ended.stderr)


def test_no_key_is_anywhere_after_a_crash(local: StandIns) -> None:
    watch = Watch()
    settings = local.settings("crash", **SECRETS)
    uploader = running(driver(local, settings, "crash", "yolo11n"), "weightdock-ultralytics-")
    with watch.on(), local.faults(SLOW), uploader as (process, container):
        docker("kill", "--signal", "KILL", container)
        out, err = process.communicate(timeout=_SECONDS)
    assert process.returncode not in (0, 4), err
    assert_nowhere(watch, local.volume("crash"), out + err)


def test_compose_takes_keys_as_files_and_then_not_even_inspect_shows_them(local: StandIns) -> None:
    unset = dict.fromkeys(SECRETS, "")
    files = {f"{name}_FILE": str(local.folder / name.lower()) for name in KEYS}
    for name, secret in KEYS.items():
        Path(files[f"{name}_FILE"]).write_text(f"{secret}\n")
    settings = local.settings("files", **unset, **files)
    command = compose(local, settings, cache="files")  # an empty one: from a full one nothing is acquired slowly
    command[4:4] = ["--file", ROOT / "docker" / "compose.secrets.yaml"]
    with local.faults(SLOW), running(command, f"{local.id}-by-compose") as (_, container):
        told = docker("inspect", container)
    assert "/run/secrets/aws_secret_access_key" in told
    assert not [name for name, secret in KEYS.items() if secret in told]


def s5cmd(local: StandIns, *arguments: str) -> str:
    command: list[str | Path] = [S5CMD, "--endpoint-url", local.store_here, *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ | KEYS).stdout


# A hostile origin

HOSTILE = {
    "yolo11n": "os.system",
    "yolo11n-seg": "STACK_GLOBAL from a memo out of order",
    "yolo11n-pose": "legacy, a payload for its checkpoint",
    "yolo_world_v2_s": "another pickle at archive/DATA.PKL",
    "sam2_t": "a pickle before the zip",
}
ASSETS = {"yolo_world_v2_s": "yolov8s-worldv2"}
CANARY = "/workspace/data/.cache/canary"


def test_hostile_checkpoints_of_the_origin_are_neither_executed_nor_uploaded(local: StandIns) -> None:
    corpus = {hostile.name: hostile for hostile in CORPUS}
    with ExitStack() as stack:
        for model, name in HOSTILE.items():
            content = corpus[name].build(Path(CANARY))
            stack.enter_context(local.serving(f"{ASSETS.get(model, model)}.pt", content))
        command = driver(local, local.settings("hostile"), "hostile", *HOSTILE)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 4, ended.stderr
    rows: list[dict[str, Any]] = json.loads(ended.stdout)["results"]
    assert {row["model"]: row["outcome"] for row in rows} == {f"ultralytics/{model}": "failed" for model in HOSTILE}
    for row in rows:
        assert re.match(r".*\.pt was refused unopened: ", row["error"]["what"]), row
    assert "canary" not in in_volume(local.volume("hostile")).split()
    with pytest.raises(subprocess.CalledProcessError):
        s5cmd(local, "ls", f"s3://{BUCKET}/hostile/*")  # its way to say that there is nothing


def test_the_same_checkpoint_runs_where_a_loader_in_that_very_container_trusts_it(local: StandIns) -> None:
    """The canary of the test above would have been there."""
    hostile = next(hostile for hostile in CORPUS if hostile.name == HOSTILE["yolo11n"])
    script = (
        "cat >/tmp/model.pt; python3 -c 'import torch; torch.load(\"/tmp/model.pt\", weights_only=False)'; ls " + CANARY
    )
    command = ["docker", "run", "--rm", "--interactive", "--read-only", "--tmpfs", "/tmp", "--network", "none"]
    command += [
        "--volume",
        f"{local.volume('careless')}:/workspace/data/.cache",
        "--entrypoint",
        "sh",
        IMAGE,
        "-c",
        script,
    ]
    ended = subprocess.run(command, input=hostile.build(Path(CANARY)), capture_output=True, check=False)
    assert ended.stdout.decode().split() == [CANARY], ended.stderr
