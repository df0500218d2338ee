"""Three models on their way from an origin into a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.fake_loader import FakeLoader
from support.memory_store import MemoryStore
from support.samples import (
    PREFIX,
    TOY,
    Row,
    content,
    digest,
    entry,
    judge,
    key_of,
    spec,
)
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.events import Event
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.store.manifest import Entry, manifest_key
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload

NAMES = ("alpha", "beta", "gamma")

SPECS = tuple(map(spec, NAMES))

MANIFEST = manifest_key(PREFIX, TOY)


@dataclass
class Bench:
    """One framework's upload with everything around it."""

    root: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    loader: FakeLoader = field(default_factory=lambda: FakeLoader({name: content(name) for name in NAMES}))
    heard: list[Event] = field(default_factory=list)

    @property
    def cache(self) -> Cache:
        return Cache(self.root)

    def run(self, specs: Sequence[ModelSpec] = SPECS) -> RunReport:
        upload = Upload(Acquire(TOY, self.cache, self.loader, self.heard.append, judge), self.store, PREFIX)
        return upload.run(upload.plan(specs))

    def published(self) -> dict[str, Entry]:
        """The manifest's entries, less when they were made."""
        entries = manifest.read(self.store, PREFIX, TOY).entries
        return {name: replace(one, uploaded=entry(name).uploaded) for name, one in entries.items()}

    def stored(self) -> dict[str, bytes]:
        return {key: weights for key, weights in self.store.contents().items() if key != MANIFEST}

    def sent(self) -> list[str]:
        return [request for request in self.store.requests if request.startswith("put_file")]


def uploaded_row(name: str, source: str = "origin.example", outcome: Outcome = Outcome.UPLOADED) -> Row:
    weights = content(name)
    return (f"toy/{name}", key_of(name), outcome, len(weights), digest(weights), source, "")


def failed_row(name: str, error: Exception) -> Row:
    return (f"toy/{name}", key_of(name), Outcome.FAILED, None, None, "", str(error))


def objects_of(*names: str) -> dict[str, bytes]:
    return {key_of(name): content(name) for name in names}


def files_of(*names: str) -> set[str]:
    return {f"toy/{name}.bin" for name in names} | {f".receipts/toy/{name}.bin.json" for name in names}
