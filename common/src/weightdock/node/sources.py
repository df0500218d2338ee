"""Where a model comes from that is not in the cache: R2, and where it is allowed the origin, which back-fills R2."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightdock import catalogue
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError, DiskError, IntegrityError, StoreError, WeightdockError
from weightdock.events import Event, Observer, Stage, State
from weightdock.node.fetch import Fetch
from weightdock.node.ranges import Ranges, stopping
from weightdock.node.warm import offline
from weightdock.settings import Settings
from weightdock.store import ObjectStore, manifest
from weightdock.store.manifest import Entry, Manifest
from weightdock.verify import VerifiedFile

if TYPE_CHECKING:
    from weightdock.upload.acquire import Acquire

_log = logging.getLogger("weightdock")


@dataclass(frozen=True)
class Sources:
    """What this machine may ask, and who hears of it."""

    settings: Settings
    cache: Cache
    observe: Observer

    def obtain(self, model: ModelId, extension: str) -> VerifiedFile:
        """The model's file. One process of a machine fetches, the others wait for it. Raises WeightdockError."""
        with self.cache.lock(model):
            found = self.cache.find(model, extension)
            if found:
                return found
            if self.settings.offline:
                return offline(self.cache, model, extension)
            entry: Entry | None = None
            try:
                store = self._store()
                known = manifest.read(store, self.settings.prefix, model.framework)
                if model.name not in known.entries:
                    catalogue.select([str(model)], [model.framework])  # a misspelt name is told, with the nearest
                entry = entry_of(known, self.settings.prefix, model, extension)
                return self._from_store(store, entry)
            except DiskError:
                raise
            except (ConfigurationError, IntegrityError, StoreError) as refused:
                if not self.settings.origin_allowed:
                    raise
                self.observe(Event(model, Stage.FETCH, State.FAILED, note=refused.what))
                return self._from_origin(model, entry)

    @property
    def _room(self) -> Room:
        return Room(self.cache, self.settings.cache_bytes, self.settings.pinned)

    def _store(self) -> ObjectStore:
        from weightdock.store.r2 import R2Store

        return R2Store(self.settings)

    def _from_store(self, store: ObjectStore, entry: Entry) -> VerifiedFile:
        adopted = self.cache.adopt(entry.model, entry.extension, entry.sha256)
        if adopted:
            return adopted
        path = self.cache.path(entry.model, entry.extension)
        self.cache.sweep()
        self._room.make({path: entry.size_bytes}, {path})
        self.observe(Event(entry.model, Stage.FETCH, State.STARTED, 0, entry.size_bytes))
        with Ranges(store) as ranges, stopping(ranges):
            file = Fetch(self.settings.prefix, ranges, self.cache, self.observe).run(entry)
        self.observe(Event(entry.model, Stage.FETCH, State.DONE, entry.size_bytes, entry.size_bytes))
        return file

    def _from_origin(self, model: ModelId, entry: Entry | None) -> VerifiedFile:
        """By the framework's own loader, as an uploader gets it; then into R2, as an uploader sends it.

        Where the manifest names a digest, nothing else is taken, whatever the origin has now.
        """
        from weightdock.origins.child import OriginProcess
        from weightdock.upload.acquire import Acquire
        from weightdock.upload.plan import Action, PlannedUpload

        (spec,) = catalogue.select([str(model)], [model.framework])
        planned = PlannedUpload(spec, spec.key(self.settings.prefix), Action.UPLOAD, entry)
        with OriginProcess(model.framework, self.settings) as loader:
            acquire = Acquire(model.framework, self.cache, loader, self.observe, licences=self.settings.licences)
            file, _ = acquire.obtain(planned)
            self._room.make({}, {file.path})  # only now is it known how large it is
            try:
                self._back_fill(spec, acquire)
            except WeightdockError as error:
                _log.warning("warning: %s is in this cache, and did not get into R2\n%s", model, error)
        return file

    def _back_fill(self, spec: ModelSpec, acquire: Acquire) -> None:
        """Upload it create-only, from this cache, as any run of an uploader would. Raises WeightdockError."""
        from weightdock.upload.pipeline import Upload

        upload = Upload(acquire, self._store(), self.settings.prefix)
        for result in upload.run(upload.plan([spec])).results:
            if result.error:
                raise result.error


def entry_of(known: Manifest, prefix: str, model: ModelId, extension: str) -> Entry:
    """The manifest's entry, if it may be one of ours. Raises StoreError where there is none, IntegrityError."""
    entry = known.entries.get(model.name)
    if entry is None:
        where, upload = manifest.manifest_key(prefix, model.framework), f"make upload/{model.framework}"
        raise StoreError(
            f"{model} is not in the store",
            cause=f"{where} has no entry for it" if known.etag else f"there is no {where} in the bucket",
            next=upload
            if known.etag
            else f"check WEIGHTDOCK_BUCKET and WEIGHTDOCK_PREFIX; if they are right: {upload}",
        )
    if entry.extension != extension:
        raise IntegrityError(
            f"the manifest of {model.framework} names a file of another kind for {model}",
            cause=f"it ends in .{entry.extension[:20]}, and what {model.framework} loads ends in .{extension}",
            next="find out who wrote the manifest; "
            f"`weightdock-driver upload --force --model {model}` writes a good one",
        )
    return entry
