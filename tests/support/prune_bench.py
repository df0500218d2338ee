"""A store with what is registered and what is not, of two ages, and what of it a prune finds and leaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, entry, key_of, spec
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key
from weightdock.upkeep import prune
from weightdock.upkeep.prune import Prunable

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
BEFORE = prune.grace(7, NOW)
OLD, YOUNG = BEFORE - timedelta(seconds=1), BEFORE + timedelta(seconds=1)
MANIFEST = manifest_key(PREFIX, TOY)


class Bench:
    """alpha is registered and old; beta and gamma are not and as old; delta is not and young; gamma has no entry."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        manifest.publish(self.store, PREFIX, TOY, {name: entry(name) for name in ("alpha", "beta", "delta")})
        self.store.keep(MANIFEST, self.store.contents()[MANIFEST], modified=OLD)
        for name, modified in (("alpha", OLD), ("beta", OLD), ("gamma", OLD), ("delta", YOUNG)):
            self.store.keep(key_of(name), content(name), modified=modified)
        self.store.requests.clear()

    def find(self, before: datetime = BEFORE) -> Prunable:
        return prune.find(self.store, PREFIX, TOY, [spec("alpha")], before)

    def stored(self) -> set[str]:
        return set(self.store.contents())

    def published(self) -> set[str]:
        return set(json.loads(self.store.contents()[MANIFEST])["models"])


def stored_under(*names: str) -> set[str]:
    return {MANIFEST, *map(key_of, names)}
