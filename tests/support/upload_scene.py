"""Models that uploaders are to bring into a bucket, and what has to be true of it whatever happened to them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from support.r2_bench import Bench
from support.r2_double.record import Entry
from support.samples import PREFIX, TOY, content, entry, key_of, spec
from support.uploader import Job, weights
from weightdock.cache import Cache
from weightdock.store import manifest
from weightdock.store.holdings import Holdings
from weightdock.store.r2 import R2Store
from weightdock.upload.plan import Action, plan

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MANIFEST = f"{PREFIX}/{TOY}/manifest.json"
EARLIER = "earlier"
"""A model that an uploader of another day has left in bucket and manifest."""


@dataclass(frozen=True)
class Scene:
    """``models`` are names and sizes in bytes."""

    bench: Bench
    folder: Path
    models: Mapping[str, int]
    single_put_bytes: int = 20_000
    part_bytes: int = 10_000
    id: str = field(default_factory=lambda: uuid4().hex[:8])

    def with_an_earlier_model(self) -> Scene:
        """The same, when somebody has uploaded another model before."""
        sha256 = hashlib.sha256(content(EARLIER)).hexdigest()
        self._client.put_object(
            Bucket=self.bench.bucket, Key=_key(EARLIER), Body=content(EARLIER), Metadata={"sha256": sha256}
        )
        manifest.publish(self.store, PREFIX, TOY, {EARLIER: entry(EARLIER)})
        return self

    @cached_property
    def store(self) -> R2Store:
        """The bucket past the double, whose record then has the uploaders' requests alone."""
        return R2Store(self.bench.behind.settings(self.bench.bucket))

    def job(self, cache: str = "cache", **changed: Any) -> Job:
        """What an uploader with this cache has to do."""
        job = Job(
            environment=self.bench.environment(WEIGHTDOCK_CACHE=str(self._cache(cache))),
            models=dict(self.models),
            diary=str(self.folder / f"{self.id}-{cache}.diary"),
            output=str(self.folder / f"{uuid4().hex}.output"),
            single_put_bytes=self.single_put_bytes,
            part_bytes=self.part_bytes,
        )
        return replace(job, **changed)

    def acquired(self, cache: str = "cache") -> list[str]:
        """What the origin was asked for, with this cache, in order."""
        diary = self.folder / f"{self.id}-{cache}.diary"
        return diary.read_text(encoding="utf-8").split() if diary.exists() else []

    def cached(self, cache: str = "cache") -> set[str]:
        """The models that are there, verified."""
        found = Cache(self._cache(cache))
        return {name for name in self.models if found.find(spec(name).model, "bin")}

    def visible(self) -> set[str]:
        """The models in the bucket. Asserts that nothing there is half-written, and nothing said is untrue."""
        listed = self._client.list_objects_v2(Bucket=self.bench.bucket).get("Contents", [])
        stored = {one["Key"]: self._client.get_object(Bucket=self.bench.bucket, Key=one["Key"]) for one in listed}
        bodies = {key: answer["Body"].read() for key, answer in stored.items()}
        document = json.loads(bodies.pop(MANIFEST, b'{"models": {}}'))
        true = {_key(name): weights(name, size) for name, size in self.models.items()}
        true[_key(EARLIER)] = content(EARLIER)
        for key, body in bodies.items():
            assert body == true[key], f"{key} is not what it should be: {len(body)} of {len(true[key])} bytes"
            metadata = {name.lower(): value for name, value in stored[key]["Metadata"].items()}
            assert metadata["sha256"] == hashlib.sha256(body).hexdigest(), key
        for name, said in document["models"].items():
            body = bodies[said["key"]]
            assert said["key"] == _key(name)
            assert (said["size"], said["sha256"]) == (len(body), hashlib.sha256(body).hexdigest()), name
        if _key(EARLIER) in bodies:
            assert EARLIER in document["models"], "an entry of the manifest was lost"
        return {name for name in self.models if _key(name) in bodies}

    def assert_whole(self) -> None:
        """Everything is there, the manifest says all of it, and a plan finds nothing to do."""
        assert self.visible() == set(self.models)
        held = Holdings.read(self.store, PREFIX, TOY)
        planned = plan([spec(name) for name in self.models], PREFIX, held.entries, held.objects)
        assert {one.action for one in planned} == {Action.NOTHING}

    def parts(self) -> dict[str, dict[str, set[int]]]:
        """The parts that the bucket holds of multipart uploads nobody ended: by model and upload id."""
        listed = self._unless_none("list_multipart_uploads").get("Uploads", [])
        return {
            name: {one["UploadId"]: self._parts(name, one["UploadId"]) for one in listed if one["Key"] == _key(name)}
            for name in self.models
        }

    def requests(self, name: str, *operations: str) -> list[Entry]:
        """What the double was asked of these operations, for this model."""
        return self.bench.double.record.entries(*operations, key=f"/{name}.bin")

    def wait_until_quiet(self) -> None:
        """Return when the double has no request under way: of a dead client, what is left in its sockets."""
        until = time.monotonic() + 30
        while any(one.ended is None for one in self.bench.double.record.entries()):
            if time.monotonic() > until:
                raise TimeoutError("a request does not end")
            time.sleep(0.002)

    def _parts(self, name: str, upload: str) -> set[int]:
        listed = self._unless_none("list_parts", Key=_key(name), UploadId=upload)
        return {part["PartNumber"] for part in listed.get("Parts", [])}

    def _unless_none(self, operation: str, **arguments: str) -> Any:
        """What is answered; rclone says NoSuchUpload where a list would be empty."""
        try:
            return getattr(self._client, operation)(Bucket=self.bench.bucket, **arguments)
        except self._client.exceptions.NoSuchUpload:
            return {}

    @property
    def _client(self) -> S3Client:
        return self.bench.behind.client()

    def _cache(self, name: str) -> Path:
        return self.folder / f"{self.id}-{name}"


def _key(name: str) -> str:
    return key_of(name)
