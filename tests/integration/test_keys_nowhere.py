"""Uploaders as they run: where their keys are, after a success, a failure and a crash."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from support.stand_ins import BUCKET, ROOT, StandIns, docker, stand_ins
from support.uploader_containers import (
    IMAGE,
    KEYS,
    SECONDS,
    SLOW,
    compose,
    driver,
    in_volume,
    running,
    s5cmd,
)

pytestmark = pytest.mark.engine

SECRETS = KEYS | {"AWS_SESSION_TOKEN": secrets.token_hex(16)}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    with stand_ins(tmp_path_factory.mktemp("stand-ins"), ["ultralytics"], KEYS) as running:
        yield running


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
            if tick % 3:  # each look takes a few processes, and one that is refused lives for less than a second
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
        out, err = process.communicate(timeout=SECONDS)
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
