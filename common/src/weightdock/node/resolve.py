"""One model onto this node: from the cache when its receipt holds, else from R2, hashed while it streams."""

from __future__ import annotations

import time

from weightdock.artifact import object_key
from weightdock.cache import Cache
from weightdock.events import Event, Observer, Stage, State
from weightdock.report import ModelResult, Outcome
from weightdock.store import ObjectStore
from weightdock.store.manifest import Entry
from weightdock.verify import Expectation, verify


def resolve(entry: Entry, prefix: str, cache: Cache, store: ObjectStore, observe: Observer) -> ModelResult:
    """Make the file that the manifest's ``entry`` describes exist in the cache.

    Raises IntegrityError when the store's bytes are others; then the cache has what it had before.
    """
    started = time.monotonic()
    key = object_key(prefix, entry.model, entry.extension)
    cached = cache.find(entry.model, entry.extension)
    if cached and cached.sha256 == entry.sha256:
        observe(Event(entry.model, Stage.FETCH, State.SKIPPED, note=Outcome.CACHED))
        return ModelResult(entry.model, key, Outcome.CACHED, entry.size_bytes, entry.sha256, "local cache")
    observe(Event(entry.model, Stage.FETCH, State.STARTED, 0, entry.size_bytes))
    with cache.partial(entry.model) as folder:
        path = folder / "object"
        streamed = store.read_file(
            key, path, lambda count: observe(Event(entry.model, Stage.FETCH, State.PROGRESS, count, entry.size_bytes))
        )
        said = Expectation("the manifest", entry.size_bytes, entry.sha256)
        cache.publish(verify(entry.model, path, [said], streamed=streamed), entry.extension)
    observe(Event(entry.model, Stage.FETCH, State.DONE, entry.size_bytes, entry.size_bytes))
    source, seconds = f"R2 ← {entry.provenance.host}", time.monotonic() - started
    return ModelResult(entry.model, key, Outcome.FETCHED, entry.size_bytes, entry.sha256, source, seconds)
