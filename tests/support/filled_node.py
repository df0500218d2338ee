"""A node that is filled from a store in memory, which holds three models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, entry, key_of, spec
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.events import Event
from weightdock.node.fill import Fill
from weightdock.report import RunReport
from weightdock.store import manifest

NAMES = ("alpha", "beta", "gamma")


@dataclass
class Node:
    """A node with an empty cache, and a store that holds three models."""

    root: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    heard: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in NAMES:
            self.store.keep(key_of(name), content(name))
        manifest.publish(self.store, PREFIX, TOY, {name: entry(name) for name in NAMES})
        self.store.requests.clear()

    @property
    def cache(self) -> Cache:
        return Cache(self.root)

    def fill(self, *names: str, deep: bool = False) -> RunReport:
        fill = Fill(PREFIX, self.store, Room(self.cache), self.heard.append, deep)
        return fill.run([spec(name) for name in names or NAMES])

    def weights(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "toy").glob("*"))}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "cache")
