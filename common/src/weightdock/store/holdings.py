"""What a bucket holds of one framework: its manifest and its listing, read together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from weightdock.artifact import Framework, ObjectKey
from weightdock.store import ObjectStore, StoredObject, manifest
from weightdock.store.manifest import Entry


@dataclass(frozen=True)
class Holdings:
    """The manifest's entries by model name, and every object but the manifest by key."""

    entries: Mapping[str, Entry]
    objects: Mapping[ObjectKey, StoredObject]

    @classmethod
    def read(cls, store: ObjectStore, prefix: str, framework: Framework) -> Self:
        """One request for the manifest and one per thousand objects. Raises StoreError."""
        known = manifest.read(store, prefix, framework)
        objects = store.objects(f"{prefix}/{framework}/")
        objects.pop(manifest.manifest_key(prefix, framework), None)
        return cls(known.entries, objects)
