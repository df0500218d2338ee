"""Many models onto this node, several at a time: what a GPU node does before its first job."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from weightdock.artifact import Framework
from weightdock.cache.room import Room
from weightdock.catalogue import ModelSpec
from weightdock.errors import ManifestError, WeightdockError
from weightdock.events import Event, Observer, Stage, State
from weightdock.node import warm
from weightdock.node.fetch import Fetch
from weightdock.node.ranges import Ranges, stopping
from weightdock.node.sources import entry_of
from weightdock.node.turns import Turns
from weightdock.node.way import LIMITS
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import ObjectStore, manifest
from weightdock.store.manifest import Entry, Manifest

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Fill:
    """Where from, where to, and who hears of it. With ``deep`` every cached file is read and compared again."""

    prefix: str
    store: ObjectStore
    room: Room
    observe: Observer
    deep: bool = False

    def run(self, specs: Sequence[ModelSpec]) -> RunReport:
        """Fetch what is missing, or is not what the manifests say now. Errors of single models are in the report.

        Raises StoreError when the store does not give a manifest, and, before anything is fetched, when there is no
        room.
        """
        frameworks = dict.fromkeys(spec.model.framework for spec in specs)
        known = {framework: self._known(framework) for framework in frameworks}
        with Ranges(self.store) as ranges:
            with ThreadPoolExecutor(LIMITS.files) as pool, stopping(ranges):
                looked = list(
                    pool.map(lambda spec: self._guarded(spec, lambda: self._look(spec, known, ranges.go_on)), specs)
                )
            missing = [found for found in looked if isinstance(found, Entry)]
            paths = {spec.model: self.room.cache.path(spec.model, spec.extension) for spec in specs}
            self.room.cache.sweep()
            self.room.make({paths[entry.model]: entry.size_bytes for entry in missing}, paths.values())
            return RunReport(self._settled(specs, looked, ranges))

    def _settled(
        self, specs: Sequence[ModelSpec], looked: Sequence[ModelResult | Entry], ranges: Ranges
    ) -> tuple[ModelResult, ...]:
        """What is missing is fetched."""
        turns, fetch = Turns(LIMITS.files, LIMITS.ahead), Fetch(self.prefix, ranges, self.room.cache, self.observe)

        def settle(spec: ModelSpec, found: ModelResult | Entry) -> ModelResult:
            if isinstance(found, ModelResult):
                return found
            with turns.one():
                ranges.go_on()
                return self._guarded(spec, lambda: self._fetch(spec, found, fetch))

        with ThreadPoolExecutor(LIMITS.ahead) as pool, stopping(ranges):
            return tuple(pool.map(settle, specs, looked))

    def _known(self, framework: Framework) -> Manifest | ManifestError:
        """A framework's manifest, or what is wrong with it: that is no reason to leave out the others' models."""
        try:
            return manifest.read(self.store, self.prefix, framework)
        except ManifestError as error:
            return error

    def _look(
        self, spec: ModelSpec, known: Mapping[Framework, Manifest | ManifestError], go_on: Callable[[], None]
    ) -> ModelResult | Entry:
        """The row of a model that is here, or what is to be fetched."""
        listed = known[spec.model.framework]
        if isinstance(listed, ManifestError):
            raise listed
        entry = entry_of(listed, self.prefix, spec.model, spec.extension)
        cached = None if self.deep else self.room.cache.find(spec.model, spec.extension)
        if cached and cached.sha256 == entry.sha256:
            return warm.row(spec, self.prefix, self.room.cache, cached, self.observe)
        if not cached:  # or the receipt fits, and the store has something newer
            cached = self.room.cache.adopt(spec.model, spec.extension, entry.sha256, go_on)
            if cached:
                return warm.row(spec, self.prefix, self.room.cache, cached, self.observe)
        return entry

    def _fetch(self, spec: ModelSpec, entry: Entry, fetch: Fetch) -> ModelResult:
        started = time.monotonic()
        with self.room.cache.lock(spec.model, fetch.ranges.go_on):
            cached = self.room.cache.find(spec.model, spec.extension)
            if cached and cached.sha256 == entry.sha256 and not self.deep:  # by another process, while this one waited
                return warm.row(spec, self.prefix, self.room.cache, cached, self.observe)
            self.observe(Event(spec.model, Stage.FETCH, State.STARTED, 0, entry.size_bytes))
            fetch.run(entry)
        self.observe(Event(spec.model, Stage.FETCH, State.DONE, entry.size_bytes, entry.size_bytes))
        source, seconds = f"R2 ← {entry.provenance.host}", time.monotonic() - started
        key = spec.key(self.prefix)
        return ModelResult(spec.model, key, Outcome.FETCHED, entry.size_bytes, entry.sha256, source, seconds)

    def _guarded(self, spec: ModelSpec, doing: Callable[[], _Answer]) -> _Answer | ModelResult:
        try:
            return doing()
        except WeightdockError as error:
            self.observe(Event(spec.model, Stage.FETCH, State.FAILED, note=error.what))
            return ModelResult(spec.model, spec.key(self.prefix), Outcome.FAILED, error=error)
