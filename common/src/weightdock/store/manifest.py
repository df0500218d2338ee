"""The manifest of a framework: one small JSON object that says what the store holds.

::

    models/pretrained/timm/manifest.json
    {"schema": 1, "framework": "timm", "models": {"convnext_tiny": {"key": …, "size": …, "sha256": …, …}}}

It is published by compare-and-swap: read, merge, write if nobody wrote meanwhile, else again.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from weightdock.artifact import LARGEST_OBJECT_BYTES, Digest, Framework, ModelId, ObjectKey, Provenance, object_key
from weightdock.errors import ManifestError, StoreError, WeightdockError
from weightdock.safety import Verdict
from weightdock.store import ObjectStore

SCHEMA = 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")  # ISO 8601 in UTC
_ATTEMPTS = 40
_WAIT_SECONDS = (0.3, 1.5)
"""How long to wait, at random between these, before trying again: R2 takes one write a second for a key."""


@dataclass(frozen=True)
class Entry:
    """One model in the store. ``uploaded`` is when, in UTC as ISO 8601; ``safety`` is None in older manifests."""

    model: ModelId
    extension: str
    size_bytes: int
    sha256: Digest
    provenance: Provenance
    uploaded: str
    safety: Verdict | None = None

    def key(self, prefix: str) -> ObjectKey:
        """Where the object is."""
        return object_key(prefix, self.model, self.extension)


@dataclass(frozen=True)
class Manifest:
    """The entries by model name, and the ETag they were read at (None: there is no manifest yet)."""

    framework: Framework
    entries: Mapping[str, Entry] = field(default_factory=dict)
    etag: str | None = None


def manifest_key(prefix: str, framework: Framework) -> ObjectKey:
    """``models/pretrained/timm/manifest.json``."""
    return ObjectKey(f"{prefix}/{framework}/manifest.json")


def read(store: ObjectStore, prefix: str, framework: Framework) -> Manifest:
    """One request. Raises ManifestError when it is malformed or of a newer schema, and StoreError."""
    key = manifest_key(prefix, framework)
    document = store.read_document(key)
    if document.etag is None:
        return Manifest(framework)
    return Manifest(framework, _entries(key, framework, document.content), document.etag)


def publish(
    store: ObjectStore,
    prefix: str,
    framework: Framework,
    new: Mapping[str, Entry],
    gone: Mapping[str, Entry] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Manifest:
    """Add or replace the ``new`` entries and drop those that are ``gone``, if they are still that; others stay.

    Raises StoreError when too many others write.
    """
    key = manifest_key(prefix, framework)
    for _ in range(_ATTEMPTS):
        current = read(store, prefix, framework)
        kept = {name: entry for name, entry in current.entries.items() if (gone or {}).get(name) != entry}
        merged = Manifest(framework, {**kept, **new}, current.etag)
        if store.write_document(key, _to_json(merged, prefix), replacing=current.etag):
            return merged
        sleep(random.uniform(*_WAIT_SECONDS))  # noqa: S311  # no secret
    raise StoreError(
        f"{key} could not be published",
        cause=f"others changed it {_ATTEMPTS} times in a row while this run tried",
        next="run again; the uploaded objects are there and are not sent twice",
    )


def _to_json(manifest: Manifest, prefix: str) -> bytes:
    models = {
        name: {
            "key": object_key(prefix, entry.model, entry.extension),
            "size": entry.size_bytes,
            "sha256": entry.sha256.hex,
            "origin": entry.provenance._asdict(),
            "uploaded": entry.uploaded,
            "safety": asdict(entry.safety) if entry.safety else None,
        }
        for name, entry in sorted(manifest.entries.items())
    }
    document = {"schema": SCHEMA, "framework": manifest.framework, "models": models}
    return (json.dumps(document, indent=2) + "\n").encode()


def _entries(key: ObjectKey, framework: Framework, content: bytes) -> dict[str, Entry]:
    try:
        document = json.loads(content)
        if document["schema"] != SCHEMA:
            raise ManifestError(
                f"{key} has schema {document['schema']!r}",
                cause=f"this weightdock reads schema {SCHEMA}",
                next="update weightdock on this machine",
            )
        return {name: _entry(framework, name, fields) for name, fields in document["models"].items()}
    except ManifestError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, WeightdockError) as error:
        why = error.what if isinstance(error, WeightdockError) else f"{type(error).__name__}: {error}"
        raise ManifestError(
            f"{key} is malformed",
            cause=" ".join(why.split())[:300],  # on one line, whatever somebody wrote there
            next=f"restore it, or delete it: then `make upload/{framework}` writes it anew",
        ) from error


def _entry(framework: Framework, name: str, fields: Mapping[str, object]) -> Entry:
    model, key, size = ModelId(framework, name), str(fields["key"]), fields["size"]
    prefix, _, file = key.rpartition(f"/{framework}/")
    extension = file.removeprefix(f"{name}.")
    if key != object_key(prefix, model, extension) or type(size) is not int or not 0 <= size <= LARGEST_OBJECT_BYTES:
        raise ValueError(f"{name} has key {key[:200]!r} and size {str(size)[:30]}")
    origin = fields["origin"]
    if not isinstance(origin, dict):
        raise TypeError(f"the origin of {name} is no object")
    digest, uploaded = Digest(str(fields["sha256"])), str(fields["uploaded"])
    if not _TIME.fullmatch(uploaded):
        raise ValueError(f"the time of {name} is {uploaded[:80]!r}")
    datetime.fromisoformat(uploaded)
    return Entry(model, extension, size, digest, Provenance.read(origin), uploaded, _verdict(fields.get("safety")))


def _verdict(fields: object) -> Verdict | None:
    match fields:
        case None:
            return None
        case {"format": str(form), "allow_list_version": int(version), "names": list(names)}:
            return Verdict(form, version, tuple(map(str, names)))
    raise TypeError("a verdict that is none")
