"""A Swarm of three, a store that they reach, sixty small models, and the driver: what the fleet's tests share."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.fleet import GATEWAY, Fleet, fleet
from support.latency_proxy import LatencyProxy
from support.local_ca import make_certificate
from support.r2_bench import KEY, Place
from support.r2_double import R2Double
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server
from support.serving import serving
from support.toy import with_third_framework

TAG = "fleettest"
IMAGES = (f"weightdock/toy-uploader:{TAG}", f"weightdock/node:{TAG}")
MODELS = tuple(f"model-{number:02}" for number in range(60))
PREFIX = "models/pretrained"
MANIFEST = f"{PREFIX}/toy/manifest.json"
# Of this machine's, so that a node does not shadow it in the toy's path: the packages that the node image has anyway.
_DOCKERFILE = """\
FROM weightdock/node:latest
COPY weightdock /toy/weightdock
ENV PYTHONPATH=/toy
ENTRYPOINT ["weightdock", {command}]
"""


@dataclass(frozen=True)
class Ran:
    """How the driver ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """Its --json."""
        read: dict[str, Any] = json.loads(self.out)
        return read


@dataclass(frozen=True)
class Bench:
    """Everything that a test needs. ``far`` and ``origin``, the ways to the store and to the toys, can be made long."""

    fleet: Fleet
    double: R2Double
    behind: Server
    far: LatencyProxy
    origin: LatencyProxy
    folder: Path

    @property
    def driver(self) -> list[str]:
        """The command that knows the toy in ``environment``."""
        return [sys.executable, "-m", "weightdock_driver.cli"]

    @property
    def environment(self) -> dict[str, str]:
        """Of the driver."""
        toy = str(self.folder / "toy")
        return {**os.environ, "DOCKER_HOST": self.fleet.manager.socket, "PYTHONPATH": toy}

    def place(self) -> Place:
        """A bucket that no other test knows."""
        return Place(self.far.url, self.behind, self.behind.new_bucket(), self.folder / "authority.pem")

    def start(self, place: Place, *arguments: str) -> subprocess.Popen[str]:
        """The driver, connected to the manager."""
        store = self.folder / f"{place.bucket}.env"
        store.write_text(
            f"AWS_S3_ENDPOINT_URL={place.url}\nAWS_ACCESS_KEY_ID={ACCESS_KEY_ID}\n"
            f"AWS_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}\nWEIGHTDOCK_BUCKET={place.bucket}\n"
            f"AWS_CA_BUNDLE={place.authority}\nHF_ENDPOINT={self.origin.url}\n"
        )
        command = [*self.driver, "--env-file", str(store), *arguments, "--tag", TAG, "--framework", "toy"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.environment, cwd=self.folder)

    def run(self, place: Place, *arguments: str) -> Ran:
        """The driver, to its end."""
        began = time.monotonic()
        process = self.start(place, *arguments)
        out, err = process.communicate(timeout=240)
        return Ran(process.returncode, out, err, time.monotonic() - began)


def manifest(place: Place) -> Mapping[str, Any]:
    """The models that the manifest in the bucket names."""
    models: Mapping[str, Any] = json.loads(place.content(MANIFEST))["models"]
    return models


def uploaded(place: Place) -> list[str]:
    """The models whose objects are in the bucket."""
    keys = place.keys()
    return sorted(Path(key).stem for key in keys if key != MANIFEST)


@contextmanager
def bench(folder: Path, behind: Server) -> Iterator[Bench]:
    """All of it from nothing, and nothing of it afterwards."""
    toy = with_third_framework(folder / "toy")
    catalogue = toy / "weightdock" / "catalogue" / "toy" / "models.toml"
    catalogue.write_text('extension = "bin"\n' + "".join(map(_entry, MODELS)))
    try:
        for image, command in zip(IMAGES, ('"upload", "--framework", "toy"', '"fetch"'), strict=True):
            _build(toy, image, command)
        certificate = make_certificate(folder, GATEWAY)
        with fleet(folder) as made:
            made.load(*IMAGES)
            made.form_swarm()
            with (
                R2Double(behind.url, [KEY], certificate=certificate) as double,
                LatencyProxy(double.url, host=GATEWAY) as far,
                serving(ThreadingHTTPServer(("127.0.0.1", 0), _Toys)) as toys,
                LatencyProxy(toys, host=GATEWAY) as origin,
            ):
                yield Bench(made, double, behind, far, origin, folder)
    finally:
        subprocess.run(["docker", "image", "rm", "--force", *IMAGES], check=True, capture_output=True)


class _Toys(BaseHTTPRequestHandler):
    """Gives the file of any model: a pickled text that names it."""

    def do_GET(self) -> None:
        content = pickle.dumps(f"{Path(self.path).stem} far", protocol=2)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_said: object) -> None:
        return None


def _entry(name: str) -> str:
    return f'[models.{name}]\ntask = "classify"\ndescription = "a toy"\nasset = "far"\n'


def _build(toy: Path, image: str, command: str) -> None:
    dockerfile = toy / "Dockerfile"
    dockerfile.write_text(_DOCKERFILE.format(command=command))
    subprocess.run(["docker", "build", "--quiet", "--tag", image, str(toy)], check=True, capture_output=True)
    dockerfile.unlink()


def forget(folder: Path) -> None:
    """Remove a cache that containers wrote."""
    shutil.rmtree(folder, ignore_errors=True)
