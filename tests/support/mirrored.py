"""A model in a store, as an upload would have left it."""

from __future__ import annotations

from pathlib import Path

from support.samples import PREFIX, UPLOADED, VERDICT, digest, provenance
from weightdock.artifact import ModelId
from weightdock.store import manifest
from weightdock.store.manifest import Entry
from weightdock.store.r2 import R2Store
from weightdock.verify import VerifiedFile


def mirrored(store: R2Store, model: ModelId, weights: bytes, folder: Path) -> None:
    """Object and manifest; ``folder`` is for the file on its way."""
    path = folder / "weights"
    path.write_bytes(weights)
    entry = Entry(model, "pth", len(weights), digest(weights), provenance(), UPLOADED, VERDICT)
    store.put_file(VerifiedFile(model, path, len(weights), digest(weights)), entry.key(PREFIX), lambda _: None)
    manifest.publish(store, PREFIX, model.framework, {model.name: entry})
