"""Uploaders in containers, started by the driver and by compose, and a look inside."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.stand_ins import ROOT, StandIns, docker

DRIVER = Path(sys.executable).with_name("weightdock-driver")

S5CMD = Path(sys.executable).with_name("s5cmd")

IMAGE = "weightdock/ultralytics-uploader"

KEYS = {"AWS_ACCESS_KEY_ID": f"id{secrets.token_hex(8)}", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}

SLOW = {"yolo11n.pt": {"delay_seconds": 60, "method": "GET"}}

SECONDS = 60


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
        until = time.monotonic() + SECONDS
        while True:
            found = docker("ps", "--quiet", "--no-trunc", "--filter", f"name={name}")
            if found and "weightdock.origins.child" in processes(found):
                break
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "no loader was started"
            time.sleep(0.1)
        yield process, found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=SECONDS)


def processes(container: str) -> str:
    """Empty for one that is not started yet, or not running any more."""
    command = ["docker", "top", container, "-eo", "pid,args"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


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


def s5cmd(local: StandIns, *arguments: str) -> str:
    command: list[str | Path] = [S5CMD, "--endpoint-url", local.store_here, *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ | KEYS).stdout
