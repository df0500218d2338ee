"""S3 servers of other people, each a process that is there for as long as somebody uses it."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from threading import Thread
from typing import IO, TYPE_CHECKING
from uuid import uuid4

import pytest

from support.local_ca import Certificate
from weightdock import settings
from weightdock.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ACCESS_KEY_ID = "an-access-key"
SECRET_ACCESS_KEY = "a-secret-that-shows-nowhere"
_TOOLS = Path(sys.executable).parent
_ANNOUNCED = re.compile(r"(https?://127\.0\.0\.1:\d+)/?\]?$")


@dataclass(frozen=True)
class Server:
    """A running server: its kind and its address."""

    kind: str
    url: str

    def environment(self, bucket: str, **changed: str) -> dict[str, str]:
        """The variables by which weightdock finds ``bucket`` here."""
        return {
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "WEIGHTDOCK_BUCKET": bucket,
            "WEIGHTDOCK_CACHE": str(_caches() / bucket),
        } | changed

    def settings(self, bucket: str, **changed: str) -> Settings:
        """The same, read; whom this process trusts, they do too."""
        trusted = {name: os.environ[name] for name in ("AWS_CA_BUNDLE",) if name in os.environ}
        return read(trusted | self.environment(bucket, **changed))

    @cache  # noqa: B019  # there are a few servers in a run, and making a client costs more than a request
    def client(self) -> S3Client:
        """Another client's view: plain boto3, none of weightdock's code."""
        import boto3

        return boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )

    def new_bucket(self) -> str:
        """A bucket that no other test knows."""
        bucket = f"bucket-{uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=bucket)
        return bucket


def read(environ: Mapping[str, str]) -> Settings:
    """Settings of these variables and nothing else."""
    return settings.load(environ, dotenv=Path(os.devnull))


@cache
def _caches() -> Path:
    """Where the stores of tests remember unfinished uploads: a folder that goes with this process."""
    folder = Path(mkdtemp(prefix="weightdock-tests-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto: conditional writes and multipart ETags; it asks for no signature."""
    with moto_server() as server:
        yield server


@contextmanager
def moto_server(certificate: Certificate | None = None) -> Iterator[Server]:
    """The same for who is no test; with a certificate over https."""
    command: list[str | Path] = [_TOOLS / "moto_server", "-H", "127.0.0.1", "-p", "0"]
    if certificate:
        command += ["--ssl", "--ssl-cert", certificate.chain, "--ssl-key", certificate.key]
    with running("moto", command) as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[Server]:
    """rclone: plain files; it checks signatures, and ignores If-None-Match."""
    with rclone_server() as server:
        yield server


@contextmanager
def rclone_server(certificate: Certificate | None = None) -> Iterator[Server]:
    """The same for who is no test; with a certificate over https."""
    keys = f"{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}"
    with TemporaryDirectory() as folder:
        command: list[str | Path] = [
            _TOOLS / "rclone",
            "serve",
            "s3",
            "--auth-key",
            keys,
            "--addr",
            "127.0.0.1:0",
            folder,
        ]
        if certificate:
            command += ["--cert", certificate.chain, "--key", certificate.key]
        with running("rclone", command) as server:
            yield server


@contextmanager
def running(kind: str, command: list[str | Path]) -> Iterator[Server]:
    """Start it on a free port of its own choice, wait until it says which, and end it whatever happens."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        # Both bind before they announce: from then on a request is answered or queued. Whatever they say later has to
        # be taken, or a full pipe would stop them.
        drain = Thread(target=process.stdout.read, daemon=True)
        try:
            url = _announced(kind, process.stdout)
            drain.start()
            yield Server(kind, url)
        finally:
            process.kill()
            if drain.ident:
                drain.join()


def _announced(kind: str, output: IO[str]) -> str:
    said = []
    for line in output:
        said.append(line)
        if announced := _ANNOUNCED.search(line.strip()):
            return announced[1]
    raise RuntimeError(f"{kind} ended before it listened:\n{''.join(said)}")
