"""Is what the store holds what the manifest and the lock say? By metadata, or by reading every byte."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from weightdock.artifact import Digest, Framework
from weightdock.catalogue import ModelSpec
from weightdock.errors import ManifestError, StoreError, WeightdockError
from weightdock.events import Event, Observer, Stage, State
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import ObjectStore, StoredObject
from weightdock.store.holdings import Holdings
from weightdock.store.manifest import Entry
from weightdock.upload.plan import contradiction, differs

_PARALLEL = 8
_SIZE_ONLY = "size only"


@dataclass(frozen=True)
class Check:
    """Which store, how thoroughly, and who hears of it. ``deep`` reads every byte."""

    prefix: str
    store: ObjectStore
    deep: bool
    observe: Observer

    def run(self, specs: Sequence[ModelSpec]) -> RunReport:
        """One row per model. Raises StoreError when the store cannot be asked at all."""
        held = {framework: self._held(framework) for framework in dict.fromkeys(spec.model.framework for spec in specs)}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            try:
                return RunReport(tuple(pool.map(lambda spec: self._one(spec, held[spec.model.framework]), specs)))
            except BaseException:  # such as Ctrl-C: the pool would wait for whole objects
                self.store.stop()
                raise

    def _held(self, framework: Framework) -> Holdings | ManifestError:
        """What the store has of a framework, or what is wrong with its manifest: the others are checked anyway."""
        try:
            return Holdings.read(self.store, self.prefix, framework)
        except ManifestError as error:
            return error

    def _one(self, spec: ModelSpec, held: Holdings | ManifestError) -> ModelResult:
        started, key = time.monotonic(), spec.key(self.prefix)
        try:
            if isinstance(held, ManifestError):
                raise held
            entry, found = held.entries.get(spec.model.name), held.objects.get(key)
            if entry is None or found is None:
                where, upload = "the manifest" if entry is None else "the store", f"make upload/{spec.model.framework}"
                raise StoreError(
                    f"{spec.model} is not in {where}",
                    cause=f"there is no {'entry' if entry is None else 'object'} for {key}",
                    next=upload
                    if held.objects or held.entries
                    else f"check WEIGHTDOCK_BUCKET and WEIGHTDOCK_PREFIX; if they are right: {upload}",
                )
            how = self._compare(spec, entry, found)
        except WeightdockError as error:
            self.observe(Event(spec.model, Stage.VERIFY, State.FAILED, note=error.what))
            seconds = time.monotonic() - started
            return ModelResult(spec.model, key, Outcome.FAILED, seconds=seconds, error=error)
        self.observe(Event(spec.model, Stage.VERIFY, State.DONE, entry.size_bytes, entry.size_bytes))
        seconds = time.monotonic() - started
        unread = "the object carries no digest of its own; `verify --deep` (make: DEEP=1) reads it"
        warning = unread if how == _SIZE_ONLY else ""
        return ModelResult(
            spec.model, key, Outcome.VERIFIED, entry.size_bytes, entry.sha256, how, seconds, warning=warning
        )

    def _compare(self, spec: ModelSpec, entry: Entry, found: StoredObject) -> str:
        """What was compared. Raises IntegrityError."""
        difference = contradiction(spec, entry, found)
        sha256 = None
        if not difference:
            sha256 = self._sha256(spec, found)
            if sha256 not in (None, entry.sha256):
                difference = f"it has sha256 {sha256}, and the manifest says {entry.sha256}"
        if difference:
            raise differs(spec, found.key, difference)
        if self.deep:
            return "every byte"
        return "metadata" if sha256 else _SIZE_ONLY

    def _sha256(self, spec: ModelSpec, found: StoredObject) -> Digest | None:
        """The object's digest; None where only reading would tell."""
        if not self.deep:
            head = self.store.head(found.key)
            if head is None:
                raise StoreError(
                    f"{spec.model} is not in the store",
                    cause=f"{found.key} was listed and is gone",
                    next=f"make upload/{spec.model.framework}",
                )
            return head.sha256
        self.observe(Event(spec.model, Stage.VERIFY, State.STARTED, 0, found.size_bytes))
        return self.store.sha256_of(
            found.key,
            lambda count: self.observe(Event(spec.model, Stage.VERIFY, State.PROGRESS, count, found.size_bytes)),
        )
