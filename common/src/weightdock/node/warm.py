"""What a node whose cache has everything does: look, and say so. No request, no botocore, nothing read but receipts."""

from __future__ import annotations

from collections.abc import Sequence

from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import StoreError
from weightdock.events import Event, Observer, Stage, State
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock.verify import VerifiedFile


def report(specs: Sequence[ModelSpec], prefix: str, cache: Cache, observe: Observer) -> RunReport | None:
    """The report of a run that has nothing to fetch; None where a model is missing, or changed since."""
    found: list[tuple[ModelSpec, VerifiedFile]] = []
    for spec in specs:
        file = cache.find(spec.model, spec.extension)
        if file is None:
            return None
        found.append((spec, file))
    return RunReport(tuple(row(spec, prefix, cache, file, observe) for spec, file in found))


def offline_report(
    specs: Sequence[ModelSpec], prefix: str, cache: Cache, observe: Observer, *, deep: bool
) -> RunReport:
    """The report of a run that may ask nobody: what is missing has failed. With ``deep`` every file is read."""

    def look(spec: ModelSpec) -> ModelResult:
        try:
            known = None if deep else cache.find(spec.model, spec.extension)
            file = known or offline(cache, spec.model, spec.extension)
            return row(spec, prefix, cache, file, observe)
        except StoreError as error:
            observe(Event(spec.model, Stage.FETCH, State.FAILED, note=error.what))
            return ModelResult(spec.model, spec.key(prefix), Outcome.FAILED, error=error)

    return RunReport(tuple(map(look, specs)))


def offline(cache: Cache, model: ModelId, extension: str) -> VerifiedFile:
    """What the cache has, read again where its receipt does not fit: its digest still tells. Raises StoreError."""
    was = cache.was(model, extension)
    file = cache.adopt(model, extension, was) if was else None
    if file is None:
        raise StoreError(
            f"{model} is not in the cache",
            cause=f"WEIGHTDOCK_OFFLINE=1 forbids to ask R2; {cache.path(model, extension)} is not there, or changed",
            next="unset WEIGHTDOCK_OFFLINE, or fill the cache beforehand: weightdock fetch",
        )
    return file


def row(spec: ModelSpec, prefix: str, cache: Cache, file: VerifiedFile, observe: Observer) -> ModelResult:
    """One model that is in the cache. It was asked for, so it is not the next to be evicted."""
    cache.refresh(file)
    observe(Event(spec.model, Stage.FETCH, State.SKIPPED, note=Outcome.CACHED))
    return ModelResult(spec.model, spec.key(prefix), Outcome.CACHED, file.size_bytes, file.sha256, "local cache")
