"""A bucket, a catalogue of its own, and `weightdock` in this process."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command import Ran
from support.samples import PREFIX, TOY, content, digest, entry, key_of, spec
from support.servers import Server
from weightdock import report
from weightdock.catalogue import lock
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key
from weightdock.store.r2 import R2Store

MANIFEST = manifest_key(PREFIX, TOY)

TABLE = '[models.{}]\ntask = "classify"\ndescription = "the toy {}"\n'

PATTERN = '\n[models."delta_*"]\ntask = "classify"\ndescription = "all deltas"\n'


def origin_gives(name: str) -> bytes:
    """What the toy's origin gives."""
    return pickle.dumps(f"{name} ", protocol=2)


@dataclass(frozen=True)
class Bench:
    """A bucket, a catalogue of the toy alone, and the command line in this process."""

    server: Server
    bucket: str
    home: Path
    run: Callable[..., Ran]

    def register(self, *names: str, and_also: str = "") -> None:
        """Write models.toml."""
        (self.home / "toy").mkdir(parents=True, exist_ok=True)
        text = 'extension = "bin"\n\n' + "\n".join(TABLE.format(name, name) for name in names) + and_also
        (self.home / "toy" / "models.toml").write_text(text, encoding="utf-8")

    def put(self, name: str, weights: bytes | None = None, sha256: str | None = None) -> None:
        """An object as somebody else puts it there."""
        body = content(name) if weights is None else weights
        self.server.client().put_object(
            Bucket=self.bucket, Key=key_of(name), Body=body, Metadata={"sha256": sha256 or digest(body).hex}
        )

    def publish(self, *names: str) -> None:
        """Their entries."""
        store = R2Store(self.server.settings(self.bucket))
        manifest.publish(store, PREFIX, TOY, {name: entry(name) for name in names})

    def fill(self, *names: str) -> None:
        """Objects and entries, as an upload leaves them."""
        for name in names:
            self.put(name)
        self.publish(*names)

    def stored(self) -> dict[str, bytes]:
        """What another client reads, the manifest aside."""
        client = self.server.client()
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        bodies = {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}
        return {key: body for key, body in bodies.items() if key != MANIFEST}

    def published(self) -> set[str]:
        """The names in the manifest."""
        body = self.server.client().get_object(Bucket=self.bucket, Key=MANIFEST)["Body"].read()
        return set(json.loads(body)["models"])

    def begin(self, name: str) -> str:
        """A multipart upload that nobody is going to end."""
        return self.server.client().create_multipart_upload(Bucket=self.bucket, Key=key_of(name))["UploadId"]

    def begun(self) -> list[str]:
        """Multipart uploads that nobody has ended."""
        found = self.server.client().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [one["UploadId"] for one in found]


def bench_before(server: Server, folder: Path, command: Callable[..., Ran], patch: pytest.MonkeyPatch) -> Bench:
    bucket = server.new_bucket()
    for name, value in server.environment(bucket, WEIGHTDOCK_CACHE=str(folder / "cache")).items():
        patch.setenv(name, value)
    bench = Bench(server, bucket, folder / "catalogue", command)
    bench.register("alpha", "beta")
    return bench


def report_of(ran: Ran) -> RunReport:
    [line] = ran.stdout.splitlines()
    return report.from_json(json.loads(line))


def outcomes_of(ran: Ran) -> dict[str, Outcome]:
    return {one.key.removeprefix(f"{PREFIX}/toy/"): one.outcome for one in report_of(ran).results}


def locked_as(name: str) -> lock.Locked:
    return lock.Locked(
        spec(name).model, "", entry(name).provenance.url, "r1", 1, digest(content(name)), "MIT", {"toy": "1.0"}
    )


def lose(bench: Bench, name: str) -> None:
    bench.server.client().delete_object(Bucket=bench.bucket, Key=key_of(name))
