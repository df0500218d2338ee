"""The embedded stand-ins, as containers of a test's own: a store and an origin that nobody else uses.

They have names and a network of their own, so that a demo which is up goes on undisturbed, and one that comes later
finds nothing of theirs.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).parents[2]
BUCKET = "vision-platform-prod"
KEYS = {"AWS_ACCESS_KEY_ID": "weightdock", "AWS_SECRET_ACCESS_KEY": "weightdock-local"}
_READY_SECONDS = 30


def docker(*arguments: str) -> str:
    """What a docker command prints. Raises CalledProcessError."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class StandIns:
    """A running store and origin. ``id`` is the name of their network, and in the name of everything that is theirs."""

    id: str
    folder: Path
    keys: Mapping[str, str] = field(default_factory=lambda: KEYS)

    @property
    def store(self) -> str:
        """The store's address for containers."""
        return f"http://{self.id}-r2:9000"

    @property
    def origin(self) -> str:
        """The origin's address for containers."""
        return f"http://{self.id}-origin:9001"

    @property
    def store_here(self) -> str:
        """The store's address for this process."""
        return f"http://{docker('port', f'{self.id}-r2', '9000/tcp').splitlines()[0]}"

    def volume(self, name: str) -> str:
        """A volume of this test run; made when a container mounts it."""
        return f"{self.id}-{name}"

    def settings(self, prefix: str, **changed: str) -> Path:
        """A settings file for the driver. A ``prefix`` of its own is a store of its own."""
        values = {
            "AWS_S3_ENDPOINT_URL": self.store,
            **self.keys,
            "WEIGHTDOCK_PREFIX": prefix,
            "WEIGHTDOCK_GITHUB_URL": self.origin,
            "HF_ENDPOINT": self.origin,
            **changed,
        }
        path = self.folder / f"{uuid4().hex}.env"
        path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return path

    @contextmanager
    def serving(self, asset: str, content: bytes) -> Iterator[None]:
        """Make the origin an attacker's: it has this file under the name of an ultralytics asset, and its digest."""
        here = "cd /origin/github/ultralytics/assets/*/ && "
        shell = ("run", "--rm", "--interactive", "--volume", f"{self.volume('origin')}:/origin", "--entrypoint", "sh")
        aside = f"mv {asset} .{asset} && mv {asset}.sha256 .{asset}.sum"
        change = f"{aside} && cat >{asset} && sha256sum {asset} >{asset}.sha256"
        command = ["docker", *shell, "weightdock/node", "-c"]
        subprocess.run([*command, here + change], input=content, check=True, capture_output=True)
        try:
            yield
        finally:
            back = f"mv .{asset} {asset} && mv .{asset}.sum {asset}.sha256"
            subprocess.run([*command, here + back], check=True, capture_output=True)

    @contextmanager
    def faults(self, by_path: Mapping[str, Mapping[str, object]]) -> Iterator[None]:
        """Make the origin fail so, by the end of a request's path."""
        path = self.folder / "faults" / "faults.json"
        path.write_text(json.dumps(by_path))
        try:
            yield
        finally:
            path.unlink()


@contextmanager
def stand_ins(
    folder: Path, frameworks: Sequence[str] = ("ultralytics", "timm"), keys: Mapping[str, str] = KEYS
) -> Iterator[StandIns]:
    """Start both, the origin with the catalogues of ``frameworks``; remove them and their volumes at the end."""
    made = StandIns(f"weightdock-test-{uuid4().hex[:8]}", folder, keys)
    (folder / "faults").mkdir()
    folder.chmod(0o755)
    docker("network", "create", made.id)
    try:
        _fill_origin(made, frameworks)
        common = ("run", "--detach", "--init", "--network", made.id)
        given = [word for name, value in keys.items() for word in ("--env", f"{name}={value}")]
        docker(*common, "--name", f"{made.id}-r2", "--publish", "127.0.0.1::9000", *given, "weightdock/local-r2")
        docker(
            *common,
            *("--name", f"{made.id}-origin", "--volume", f"{made.volume('origin')}:/origin:ro"),
            *(
                "--volume",
                f"{folder / 'faults'}:/faults:ro",
                "weightdock/local-origin",
                "--faults",
                "/faults/faults.json",
            ),
        )
        for name in ("r2", "origin"):
            _wait_until_healthy(f"{made.id}-{name}")
        yield made
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"name={made.id}").split()
        if left:
            docker("rm", "--force", "--volumes", *left)
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name={made.id}").split()
        if volumes:
            docker("volume", "rm", *volumes)
        docker("network", "rm", made.id)


def _fill_origin(made: StandIns, frameworks: Sequence[str]) -> None:
    for framework in frameworks:
        docker(
            *("run", "--rm", "--name", f"{made.id}-make-{framework}", "--network", "none"),
            *("--volume", f"{ROOT / 'docker' / 'local' / 'origin'}:/srv:ro"),
            *("--volume", f"{made.volume('origin')}:/workspace/data/.cache"),
            *("--entrypoint", "python3", f"weightdock/{framework}-uploader"),
            *(f"/srv/make_{framework}.py", "/workspace/data/.cache"),
        )


def _wait_until_healthy(container: str) -> None:
    until = time.monotonic() + _READY_SECONDS
    while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
        if time.monotonic() > until:
            raise TimeoutError(f"{container} is not healthy: {docker('logs', container)}")
        time.sleep(0.2)
