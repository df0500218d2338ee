"""Execute a plan: acquire, verify, upload, publish the manifest, report.

One model after the other is acquired (the framework's loader is one process), while those before are uploaded. A
model that fails is reported and the others go on; the manifest then gets every model that did not fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from weightdock.catalogue import ModelSpec
from weightdock.errors import StoreError, WeightdockError
from weightdock.events import BytesObserver, Event, Stage, State
from weightdock.licence import Ruling
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import ObjectStore, manifest
from weightdock.store.holdings import Holdings
from weightdock.store.manifest import Entry
from weightdock.store.pace import SLOTS
from weightdock.upload.acquire import Acquire
from weightdock.upload.plan import Action, PlannedUpload, plan, row, warning
from weightdock.verify import VerifiedFile

_log = logging.getLogger("weightdock")


@dataclass(frozen=True)
class Upload:
    """One framework's upload: what acquires its models, and where to."""

    acquire: Acquire
    store: ObjectStore
    prefix: str

    def plan(self, specs: Sequence[ModelSpec], *, force: bool = False) -> tuple[PlannedUpload, ...]:
        """Ask the store what is there: one request for the manifest and one per thousand objects."""
        holdings = Holdings.read(self.store, self.prefix, self.acquire.framework)
        return plan(specs, self.prefix, holdings.entries, holdings.objects, force=force, licences=self.acquire.licences)

    def run(self, planned: Sequence[PlannedUpload]) -> RunReport:
        """Do what the plan says. Errors of single models are in the report; raises StoreError for the manifest."""
        entries: dict[str, Entry] = {}
        published: dict[str, Entry] = {}
        self.acquire.cache.sweep()  # of runs that were killed
        try:
            with ThreadPoolExecutor(SLOTS) as uploads:  # with the parts of large files under one limit
                try:
                    futures = [self._begin(one, uploads, entries) for one in planned]
                    results = tuple(future.result() for future in futures)
                except BaseException:  # Ctrl-C: what is on its way arrives, and all that waits for it does not begin
                    self.store.stop()
                    uploads.shutdown(wait=False, cancel_futures=True)
                    published = dict(entries)  # at once: who ends a container may not wait for what is on its way
                    self._publish_ended(published)
                    raise
        except BaseException:
            self._publish_ended({name: one for name, one in entries.items() if name not in published})
            raise
        if entries:
            manifest.publish(self.store, self.prefix, self.acquire.framework, entries)
        return RunReport(results)

    def _publish_ended(self, entries: dict[str, Entry]) -> None:
        """After Ctrl-C, too, what has arrived is a node's from now on; else the next run finds and publishes it."""
        if entries:
            try:
                manifest.publish(self.store, self.prefix, self.acquire.framework, entries)
            except WeightdockError as error:
                _log.warning("warning: what was uploaded is not in the manifest yet: run again\n%s", error)

    def _begin(
        self, planned: PlannedUpload, uploads: ThreadPoolExecutor, entries: dict[str, Entry]
    ) -> Future[ModelResult]:
        """Acquire now, upload later."""
        started = time.monotonic()
        settled: Future[ModelResult] = Future()
        if planned.action in (Action.NOTHING, Action.REFUSE, Action.DENY):
            result = row(planned)
            state = State.FAILED if result.error else State.SKIPPED
            self.acquire.observe(Event(planned.spec.model, Stage.UPLOAD, state, note=result.outcome))
            settled.set_result(result)
            return settled
        try:
            verified, source = self.acquire.obtain(planned)
        except WeightdockError as error:
            settled.set_result(self._failed(planned, Stage.ACQUIRE, started, error))
            return settled
        return uploads.submit(self._finish, planned, verified, source, started, entries)

    def _finish(
        self, planned: PlannedUpload, file: VerifiedFile, source: str, started: float, entries: dict[str, Entry]
    ) -> ModelResult:
        spec = planned.spec
        try:
            adopted = planned.action is Action.ADOPT and self.store.holds(file, planned.key)
            created = not adopted and self._send(planned, file)
        except WeightdockError as error:
            return self._failed(planned, Stage.UPLOAD, started, error)
        except OSError as error:
            gone = StoreError(
                f"the cache did not give {spec.model}",
                cause=str(error),
                next="see to the disk and to who else writes there, then run again",
            )
            return self._failed(planned, Stage.UPLOAD, started, gone)
        entries[spec.model.name] = _entry_of(file, spec)
        outcome = Outcome.ADOPTED if adopted else Outcome.PRESENT
        if created:
            outcome = Outcome.REPLACED if planned.action is Action.REPLACE else Outcome.UPLOADED
        state = State.DONE if created else State.SKIPPED
        self.acquire.observe(Event(spec.model, Stage.UPLOAD, state, file.size_bytes, file.size_bytes, note=outcome))
        seconds = time.monotonic() - started
        licence = entries[spec.model.name].provenance.licence
        warned = warning(licence) if self.acquire.licences.rule(licence) is Ruling.WARNED else ""
        return ModelResult(
            spec.model,
            planned.key,
            outcome,
            file.size_bytes,
            file.sha256,
            source,
            seconds,
            licence=licence,
            warning=warned,
        )

    def _send(self, planned: PlannedUpload, file: VerifiedFile) -> bool:
        self.acquire.observe(Event(planned.spec.model, Stage.UPLOAD, State.STARTED, 0, file.size_bytes))

        def sent(count: int) -> None:
            self.acquire.observe(Event(planned.spec.model, Stage.UPLOAD, State.PROGRESS, count, file.size_bytes))

        return upload(self.store, file, planned, sent)

    def _failed(self, planned: PlannedUpload, stage: Stage, started: float, error: WeightdockError) -> ModelResult:
        self.acquire.observe(Event(planned.spec.model, stage, State.FAILED, note=error.what))
        seconds = time.monotonic() - started
        return ModelResult(planned.spec.model, planned.key, Outcome.FAILED, seconds=seconds, error=error)


def upload(store: ObjectStore, file: VerifiedFile, planned: PlannedUpload, sent: BytesObserver) -> bool:
    """Put a verified file, and nothing else, under its key. False when the same bytes were there already."""
    replacing = planned.found.etag if planned.action is Action.REPLACE and planned.found else None
    return store.put_file(file, planned.key, sent, replacing)


def _entry_of(file: VerifiedFile, spec: ModelSpec) -> Entry:
    """The manifest's entry for an uploaded file. Its provenance is known: uploads come from origins."""
    assert file.provenance
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(spec.model, spec.extension, file.size_bytes, file.sha256, file.provenance, now, file.verdict)
