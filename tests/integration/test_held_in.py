"""Uploaders as they run: what holds them in, and what a hostile origin gets done."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.hostile import CORPUS
from support.stand_ins import BUCKET, ROOT, StandIns, docker, stand_ins
from support.uploader_containers import (
    IMAGE,
    KEYS,
    SLOW,
    compose,
    driver,
    in_volume,
    running,
    s5cmd,
)
from weightdock_driver import hardening

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_ins(tmp_path_factory.mktemp("stand-ins"), ["ultralytics"], KEYS) as running:
        yield running


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
