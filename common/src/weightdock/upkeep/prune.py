"""Remove what nothing reaches: objects that no catalogue or lock names, and uploads that nobody ended.

First a list, then, if it is wanted, exactly what was listed: an object that changed meanwhile stays. An entry leaves
the manifest before its object goes, so that no node is ever told of what is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from weightdock.artifact import Framework
from weightdock.catalogue import ModelSpec
from weightdock.events import SCHEMA
from weightdock.report import Outcome, RunReport
from weightdock.store import ObjectStore, PendingUpload, StoredObject, manifest
from weightdock.store.holdings import Holdings
from weightdock.store.manifest import Entry
from weightdock.upload.plan import unknown_row


@dataclass(frozen=True)
class Prunable:
    """What one framework's prefix holds in vain."""

    framework: Framework
    objects: tuple[StoredObject, ...]
    entries: Mapping[str, Entry]
    uploads: tuple[PendingUpload, ...]


def find(
    store: ObjectStore,
    prefix: str,
    framework: Framework,
    specs: Sequence[ModelSpec],
    before: datetime,
    *,
    uploads: bool = True,
) -> Prunable:
    """Objects older than ``before`` that no model of ``specs`` has, their entries, and ``uploads`` as old."""
    holdings = Holdings.read(store, prefix, framework)
    reached = {spec.key(prefix) for spec in specs}
    old = tuple(
        found
        for key, found in sorted(holdings.objects.items())
        if key not in reached and found.modified is not None and found.modified < before
    )
    keys = {found.key for found in old}
    entries = {name: entry for name, entry in holdings.entries.items() if entry.key(prefix) in keys}
    pending = store.pending(f"{prefix}/{framework}/") if uploads else ()
    return Prunable(framework, old, entries, tuple(one for one in pending if one.begun < before))


def remove(store: ObjectStore, prefix: str, prunable: Prunable) -> RunReport:
    """Remove the objects that were listed. Raises StoreError."""
    if not prunable.objects:
        return RunReport(())
    if prunable.entries:
        left = manifest.publish(store, prefix, prunable.framework, {}, gone=prunable.entries)
    else:
        left = manifest.read(store, prefix, prunable.framework)
    # What somebody published since the list, though its bytes may be the same.
    named = {entry.key(prefix) for entry in left.entries.values()}
    rows = [
        unknown_row(
            found,
            prunable.framework,
            Outcome.REMOVED if found.key not in named and store.delete(found) else Outcome.DIFFERS,
        )
        for found in prunable.objects
    ]
    return RunReport(tuple(rows))


def abort(store: ObjectStore, prunable: Prunable) -> None:
    """Abort the uploads that were listed. Raises StoreError."""
    for upload in prunable.uploads:
        store.abort(upload)


def listed(prunable: Prunable) -> RunReport:
    """What would be removed."""
    return RunReport(tuple(unknown_row(found, prunable.framework, Outcome.REMOVABLE) for found in prunable.objects))


def grace(days: float, now: datetime) -> datetime:
    """Before when something must have been written to be removed."""
    return now - timedelta(days=days)


def uploads_table(uploads: Sequence[PendingUpload], aborted: bool) -> str:
    """A line per upload, for people."""
    if not uploads:
        return "0 uploads: nothing to do"
    word = "aborted" if aborted else "would abort"
    return "\n".join(f"{one.key}  begun {one.begun:%Y-%m-%d %H:%M}  {word}" for one in uploads)


def uploads_json(uploads: Sequence[PendingUpload], aborted: bool) -> str:
    """One line for machines."""
    rows = [{"key": one.key, "upload_id": one.upload_id, "begun": one.begun.isoformat()} for one in uploads]
    return json.dumps({"weightdock": SCHEMA, "event": "uploads", "aborted": aborted, "uploads": rows})
