"""An upload in this process, which tests about single requests can look into, and the way back onto a node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import pytest

from support.fake_loader import FakeLoader
from support.samples import PREFIX, TOY, judge, key_of, spec
from support.upload_scene import Scene
from support.uploader import weights
from weightdock import events
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.node.fill import Fill
from weightdock.report import RunReport
from weightdock.store.pace import Pace
from weightdock.store.r2 import R2Store
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload
from weightdock.verify import VerifiedFile, verify

MODELS = {"small": 9_000, "large": 35_000}
"""What goes in one PUT and what goes in parts, where the fixture ``small_thresholds`` is used."""

SIZES = pytest.mark.parametrize("name", list(MODELS))
_HURRY = 50


def hurried() -> Pace:
    """A pace of which a second takes 20 ms."""
    return Pace(sleep=lambda seconds: time.sleep(seconds / _HURRY), clock=lambda: time.monotonic() * _HURRY)


@dataclass(frozen=True)
class Errand:
    """A scene's models, their origin, and one store, by which everything here is asked.

    ``given`` are settings, where they are not the scene's.
    """

    scene: Scene
    pace: Pace = field(default_factory=hurried)
    given: Mapping[str, str] = field(default_factory=dict)

    def again(self) -> Errand:
        """The same with a bucket, a cache and a store of its own."""
        bench = replace(self.scene.bench, bucket=self.scene.bench.behind.new_bucket())
        return Errand(replace(self.scene, bench=bench, id=uuid4().hex[:8]))

    @cached_property
    def store(self) -> R2Store:
        """With a cache of the scene's own."""
        cache = str(self.scene.folder / self.scene.id / "uploader")
        return R2Store(self.scene.bench.settings(WEIGHTDOCK_CACHE=cache, **self.given), self.pace)

    @cached_property
    def loader(self) -> FakeLoader:
        """Has what the scene's truth is."""
        return FakeLoader({name: weights(name, size) for name, size in self.scene.models.items()})

    @property
    def node(self) -> Path:
        """The node's cache."""
        return self.scene.folder / self.scene.id / "node"

    def upload(self, *names: str, force: bool = False) -> RunReport:
        """Plan and run. All models, if none is named."""
        cache = Cache(self.scene.folder / self.scene.id / "uploader")
        run = Upload(Acquire(TOY, cache, self.loader, events.ignore, judge), self.store, PREFIX)
        return run.run(run.plan([spec(name) for name in names or self.scene.models], force=force))

    def fetch(self) -> RunReport:
        """Onto an empty node, by the same store."""
        return Fill(PREFIX, self.store, Room(Cache(self.node)), events.ignore).run(
            [spec(name) for name in self.scene.models]
        )

    def file(self, name: str) -> VerifiedFile:
        """The model as a file outside of all caches."""
        path = self.scene.folder / f"{self.scene.id}-{name}.file"
        path.write_bytes(self.loader.files[name])
        return verify(spec(name).model, path, [])

    def store_by_another(self, name: str, body: bytes, **metadata: str) -> None:
        """Put it where the model's object belongs, past the double."""
        bench = self.scene.bench
        bench.behind.client().put_object(Bucket=bench.bucket, Key=key_of(name), Body=body, Metadata=metadata)

    def etag(self, name: str) -> str:
        """Of the model's object, as it really is."""
        bench = self.scene.bench
        return bench.behind.client().head_object(Bucket=bench.bucket, Key=key_of(name))["ETag"]
