"""Many models onto this node, several at a time: what a GPU node does before its first job."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import StoreError, WeightdockError
from weightdock.events import Event, Observer, Stage, State
from weightdock.node.resolve import resolve
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import ObjectStore, manifest
from weightdock.store.manifest import Entry

_PARALLEL = 4


@dataclass(frozen=True)
class Fill:
    """Where from, where to, and who hears of it."""

    prefix: str
    store: ObjectStore
    cache: Cache
    observe: Observer

    def run(self, specs: Sequence[ModelSpec]) -> RunReport:
        """Fetch what is missing. Errors of single models are in the report."""
        entries = {
            entry.model: entry
            for framework in dict.fromkeys(spec.model.framework for spec in specs)
            for entry in manifest.read(self.store, self.prefix, framework).entries.values()
        }
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return RunReport(tuple(pool.map(lambda spec: self._one(spec, entries.get(spec.model)), specs)))

    def _one(self, spec: ModelSpec, entry: Entry | None) -> ModelResult:
        try:
            if entry is None:
                raise StoreError(
                    f"{spec.model} is not in the store",
                    cause=f"the manifest of {spec.model.framework} has no entry for it",
                    next=f"make upload/{spec.model.framework}",
                )
            return resolve(entry, self.prefix, self.cache, self.store, self.observe)
        except WeightdockError as error:
            self.observe(Event(spec.model, Stage.FETCH, State.FAILED, note=error.what))
            return ModelResult(spec.model, spec.key(self.prefix), Outcome.FAILED, error=error)
