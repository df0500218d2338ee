"""What is where: every model with its lock, manifest, store and this machine's cache side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from weightdock.artifact import Framework
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.errors import ManifestError, printable
from weightdock.events import SCHEMA, megabytes
from weightdock.licence import LicencePolicy, Ruling
from weightdock.report import aligned
from weightdock.store import ObjectStore
from weightdock.store.holdings import Holdings
from weightdock.upload.plan import plan


@dataclass(frozen=True)
class ModelStatus:
    """One model. ``size_bytes``, ``sha256``, ``licence`` and ``uploaded`` (ISO 8601, UTC) are the manifest's.

    ``differs`` says which two of the places contradict each other; empty where none do.
    What the manifest does not know, ``licence`` takes from the lock; ``ruling`` is the policy's, empty without either.
    """

    model: str
    task: str
    description: str
    locked: bool
    in_manifest: bool
    in_store: bool
    in_cache: bool
    differs: str
    size_bytes: int | None
    sha256: str
    licence: str
    ruling: str
    uploaded: str

    @property
    def licence_ruled(self) -> str:
        """The licence, and what the policy says of it unless that is to let it pass; empty where nobody knows one."""
        ruled = self.ruling in (Ruling.WARNED, Ruling.DENIED)
        return f"{self.licence or '-'} ({self.ruling})" if ruled else self.licence


_ANY = LicencePolicy()


def survey(
    specs: Sequence[ModelSpec], prefix: str, store: ObjectStore, cache: Cache, licences: LicencePolicy = _ANY
) -> tuple[ModelStatus, ...]:
    """Ask the store once per framework, and the cache for receipts. Raises StoreError where it cannot be asked."""
    names = dict.fromkeys(spec.model.framework for spec in specs)
    held = {framework: _held(store, prefix, framework) for framework in names}
    return tuple(_status(spec, prefix, *held[spec.model.framework], cache, licences) for spec in specs)


def _held(store: ObjectStore, prefix: str, framework: Framework) -> tuple[Holdings, str]:
    """What the store has, and what is wrong with its manifest: then there are objects, of which nothing is known."""
    try:
        return Holdings.read(store, prefix, framework), ""
    except ManifestError as error:
        return Holdings({}, store.objects(f"{prefix}/{framework}/")), f"{error.what}: {error.cause}"


def _status(
    spec: ModelSpec, prefix: str, held: Holdings, malformed: str, cache: Cache, licences: LicencePolicy
) -> ModelStatus:
    entry, found = held.entries.get(spec.model.name), held.objects.get(spec.key(prefix))
    size = entry.size_bytes if entry else (found.size_bytes if found else None)
    [planned] = plan([spec], prefix, held.entries, held.objects)
    cached = cache.find(spec.model, spec.extension)
    differs = malformed or planned.difference
    if cached and entry and cached.sha256 != entry.sha256:
        differs = differs or f"this machine has sha256 {cached.sha256}, and the manifest says {entry.sha256}"
    return ModelStatus(
        model=str(spec.model),
        task=spec.task,
        description=spec.description,
        locked=spec.locked is not None,
        in_manifest=entry is not None,
        in_store=found is not None,
        in_cache=cached is not None,
        differs=differs,
        size_bytes=size,
        sha256=entry.sha256.hex if entry else "",
        licence=planned.licence,
        ruling=licences.rule(planned.licence) if entry or spec.locked else "",
        uploaded=entry.uploaded if entry else "",
    )


def to_json(statuses: Sequence[ModelStatus]) -> str:
    """One line for machines."""
    return json.dumps({"weightdock": SCHEMA, "event": "status", "models": [asdict(status) for status in statuses]})


def table(statuses: Sequence[ModelStatus], now: datetime) -> str:
    """A row per model, for people, and a line for each way in which some differ."""
    rows: list[tuple[str, ...]] = [
        ("MODEL", "TASK", "LOCK", "MANIFEST", "R2", "HERE", "SIZE", "SHA256", "LICENCE", "AGE")
    ]
    rows += [
        (
            one.model,
            one.task,
            *("yes" if there else "-" for there in (one.locked, one.in_manifest, one.in_store, one.in_cache)),
            megabytes(one.size_bytes) if one.size_bytes is not None else "-",
            one.sha256[:12] or "-",
            one.licence_ruled or "-",
            age(datetime.fromisoformat(one.uploaded), now) if one.uploaded else "-",
        )
        for one in statuses
    ]
    differing: dict[str, list[str]] = {}
    for one in statuses:
        if one.differs:
            differing.setdefault(one.differs, []).append(one.model)
    lines = [printable(f"{', '.join(models)} differs: {why}") for why, models in differing.items()]
    return "\n\n".join([aligned(rows, right=(6,)), *lines])


def age(then: datetime, now: datetime) -> str:
    """``3 d``, ``5 h`` or ``2 min``."""
    passed = max(now - then, timedelta())
    if passed.days:
        return f"{passed.days} d"
    minutes = passed.seconds // 60
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"
