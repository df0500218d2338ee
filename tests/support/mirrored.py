"""A mirror in which all is in place, as uploaders leave it: of one model, or of a catalogue. For tests and benches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.samples import PREFIX, TOY, UPLOADED, VERDICT, content, digest, entry, key_of, provenance
from support.servers import Server
from weightdock.artifact import ModelId
from weightdock.catalogue.lock import Locked, render
from weightdock.store import manifest
from weightdock.store.manifest import Entry
from weightdock.store.r2 import R2Store
from weightdock.verify import VerifiedFile


def catalogue(package: Path, names: Sequence[str]) -> None:
    """One pattern for ``model_…``, and a lock of what it stands for: as whoever mirrors all of a framework has it."""
    home = package / "weightdock" / "catalogue" / TOY
    pattern = '[models."model_*"]\ntask = "classify"\ndescription = "the toys"\n'
    (home / "models.toml").write_text(f'extension = "bin"\n{pattern}', encoding="utf-8")
    entries = [entry(name) for name in names]
    locked = [
        Locked(one.model, "", one.provenance.url, "r1", one.size_bytes, one.sha256, "MIT", {"toy": "1.0"})
        for one in entries
    ]
    (home / "models.lock").write_text(render(locked), encoding="utf-8")


def fill(server: Server, bucket: str, names: Sequence[str]) -> None:
    """Objects and manifest as uploaders leave them."""
    client = server.client()
    with ThreadPoolExecutor(8) as pool:
        put = [pool.submit(client.put_object, Bucket=bucket, Key=key_of(name), Body=content(name)) for name in names]
    assert all(one.result() for one in put)
    manifest.publish(R2Store(server.settings(bucket)), PREFIX, TOY, {name: entry(name) for name in names})


def mirrored(store: R2Store, model: ModelId, weights: bytes, folder: Path) -> None:
    """Object and manifest; ``folder`` is for the file on its way."""
    path = folder / "weights"
    path.write_bytes(weights)
    entry = Entry(model, "pth", len(weights), digest(weights), provenance(), UPLOADED, VERDICT)
    store.put_file(VerifiedFile(model, path, len(weights), digest(weights)), entry.key(PREFIX), lambda _: None)
    manifest.publish(store, PREFIX, model.framework, {model.name: entry})
