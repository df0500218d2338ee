"""Execute a plan: acquire, verify, upload, publish the manifest, report.

One model after the other is acquired (the framework's loader is one process), while those before are uploaded. A
model that fails is reported and the others go on; the manifest then gets every model that did not fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from weightdock import safety
from weightdock.artifact import Framework, Provenance
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import IntegrityError, OriginError, StoreError, WeightdockError
from weightdock.events import Event, Observer, Stage, State
from weightdock.licence import LicencePolicy, Ruling
from weightdock.origins import AcquiredFile
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.store import BytesObserver, ObjectStore, manifest
from weightdock.store.holdings import Holdings
from weightdock.store.manifest import Entry
from weightdock.upload.plan import Action, PlannedUpload, denied, difference, plan, row, warning
from weightdock.verify import Expectation, VerifiedFile, verify

_UPLOADS = 4  # at a time; parts of large files share one limit beside it (store/pace.py)


class Loader(Protocol):
    """An origin as the pipeline uses it: :class:`weightdock.origins.child.OriginProcess`."""

    @property
    def endpoint(self) -> str:
        """With what the URLs of its files begin."""

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        """Get the model's file into ``into``."""

    def load(self, spec: ModelSpec, path: Path) -> None:
        """Load it into its model."""


@dataclass(frozen=True)
class Upload:
    """One framework's upload: where to, through which cache, by which loader, and who hears of it."""

    framework: Framework
    prefix: str
    store: ObjectStore
    cache: Cache
    loader: Loader
    observe: Observer
    judge: Callable[[Path, str], safety.Verdict] = safety.check
    licences: LicencePolicy = field(default_factory=LicencePolicy)

    def plan(self, specs: Sequence[ModelSpec], *, force: bool = False) -> tuple[PlannedUpload, ...]:
        """Ask the store what is there: one request for the manifest and one per thousand objects."""
        holdings = Holdings.read(self.store, self.prefix, self.framework)
        return plan(specs, self.prefix, holdings.entries, holdings.objects, force=force, licences=self.licences)

    def run(self, planned: Sequence[PlannedUpload]) -> RunReport:
        """Do what the plan says. Errors of single models are in the report; raises StoreError for the manifest."""
        entries: dict[str, Entry] = {}
        with ThreadPoolExecutor(_UPLOADS) as uploads:
            futures = [self._begin(one, uploads, entries) for one in planned]
        results = tuple(future.result() for future in futures)
        if entries:
            manifest.publish(self.store, self.prefix, self.framework, entries)
        return RunReport(results)

    def _begin(
        self, planned: PlannedUpload, uploads: ThreadPoolExecutor, entries: dict[str, Entry]
    ) -> Future[ModelResult]:
        """Acquire now, upload later."""
        started = time.monotonic()
        settled: Future[ModelResult] = Future()
        if planned.action in (Action.NOTHING, Action.REFUSE, Action.DENY):
            result = row(planned)
            state = State.FAILED if result.error else State.SKIPPED
            self.observe(Event(planned.spec.model, Stage.UPLOAD, state, note=result.outcome))
            settled.set_result(result)
            return settled
        try:
            verified, source = self._obtain(planned)
        except WeightdockError as error:
            settled.set_result(self._failed(planned, Stage.ACQUIRE, started, error))
            return settled
        return uploads.submit(self._finish, planned, verified, source, started, entries)

    def _obtain(self, planned: PlannedUpload) -> tuple[VerifiedFile, str]:
        """The verified file, from the cache of an earlier run or from the origin, and a word on which."""
        spec = planned.spec
        cached = self.cache.find(spec.model, spec.extension)
        if cached and self._usable(cached, planned):
            self._refuse_denied(spec, cached.provenance)
            # Judged again, in milliseconds: an older run may have had an older allow-list, or none.
            return replace(cached, verdict=self.judge(cached.path, self.framework)), "local cache"
        self.observe(Event(spec.model, Stage.ACQUIRE, State.STARTED))
        with self.cache.partial(spec.model) as folder:
            acquired = self.loader.acquire(spec, folder, self._progress(spec, Stage.ACQUIRE))
            if not acquired.path.is_file():
                raise OriginError(
                    "Could not locate downloaded weights",
                    cause=f"the loader of {spec.model} named {acquired.path}, which is not there",
                    next="run again; if it stays so, the library's way of saving has changed",
                )
            self._refuse_denied(spec, acquired.provenance)
            self.observe(Event(spec.model, Stage.VERIFY, State.STARTED))
            verified = verify(
                spec.model,
                acquired.path,
                self._expected(planned, acquired),
                streamed=acquired.streamed,
                judge=lambda path: self.judge(path, self.framework),
                load=lambda path: self.loader.load(spec, path),
                provenance=acquired.provenance,
            )
            if spec.locked and (differs := difference(entry_of(verified, spec), spec.locked)):
                raise IntegrityError(
                    f"{spec.model} is not what it should be",
                    cause=differs.replace("the manifest says", "the origin gave"),
                    next="nothing was kept of it; `make lock` and review the difference, if it is meant",
                )
            return self.cache.publish(verified, spec.extension), acquired.provenance.host

    def _refuse_denied(self, spec: ModelSpec, provenance: Provenance | None) -> None:
        licence = provenance.licence if provenance else ""
        if self.licences.rule(licence) is Ruling.DENIED:
            raise denied(spec, licence)

    def _usable(self, cached: VerifiedFile, planned: PlannedUpload) -> bool:
        """Only what came from this origin: a demo's random weights must not get from a cache into a real bucket."""
        if cached.provenance is None or not cached.provenance.url.startswith(f"{self.loader.endpoint}/"):
            return False
        if planned.spec.locked and difference(entry_of(cached, planned.spec), planned.spec.locked):
            return False
        return planned.entry is None or planned.entry.sha256 == cached.sha256

    def _expected(self, planned: PlannedUpload, acquired: AcquiredFile) -> list[Expectation]:
        expected = [Expectation("the origin", acquired.published_bytes, acquired.published)]
        if planned.entry:
            expected.append(Expectation("the manifest", planned.entry.size_bytes, planned.entry.sha256))
        if planned.spec.locked and acquired.streamed is None:  # else we wrote it, and its source was compared instead
            locked = planned.spec.locked
            expected.append(Expectation("models.lock", locked.size_bytes, locked.sha256))
        return expected

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
        entries[spec.model.name] = entry_of(file, spec)
        outcome = Outcome.ADOPTED if adopted else Outcome.PRESENT
        if created:
            outcome = Outcome.REPLACED if planned.action is Action.REPLACE else Outcome.UPLOADED
        state = State.DONE if created else State.SKIPPED
        self.observe(Event(spec.model, Stage.UPLOAD, state, file.size_bytes, file.size_bytes, note=outcome))
        seconds = time.monotonic() - started
        licence = entries[spec.model.name].provenance.licence
        warned = warning(licence) if self.licences.rule(licence) is Ruling.WARNED else ""
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
        self.observe(Event(planned.spec.model, Stage.UPLOAD, State.STARTED, 0, file.size_bytes))
        return upload(self.store, file, planned, self._progress(planned.spec, Stage.UPLOAD, file.size_bytes))

    def _failed(self, planned: PlannedUpload, stage: Stage, started: float, error: WeightdockError) -> ModelResult:
        self.observe(Event(planned.spec.model, stage, State.FAILED, note=error.what))
        seconds = time.monotonic() - started
        return ModelResult(planned.spec.model, planned.key, Outcome.FAILED, seconds=seconds, error=error)

    def _progress(self, spec: ModelSpec, stage: Stage, total: int | None = None) -> BytesObserver:
        return lambda count: self.observe(Event(spec.model, stage, State.PROGRESS, count, total))


def upload(store: ObjectStore, file: VerifiedFile, planned: PlannedUpload, sent: BytesObserver) -> bool:
    """Put a verified file, and nothing else, under its key. False when the same bytes were there already."""
    replacing = planned.found.etag if planned.action is Action.REPLACE and planned.found else None
    return store.put_file(file, planned.key, sent, replacing)


def entry_of(file: VerifiedFile, spec: ModelSpec) -> Entry:
    """The manifest's entry for an uploaded file. Its provenance is known: uploads come from origins."""
    assert file.provenance
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(spec.model, spec.extension, file.size_bytes, file.sha256, file.provenance, now, file.verdict)
