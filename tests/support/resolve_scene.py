"""A node before a store in a dict, as tests of ``weightdock.resolve`` set it up."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import weightdock
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, entry, key_of, spec, verified
from weightdock import catalogue
from weightdock.cache import Cache
from weightdock.events import Event
from weightdock.node.sources import Sources
from weightdock.store import ObjectStore, manifest

NAME = "toy/alpha"
KEY = key_of()


@dataclass
class Scene:
    """A node whose store is a dict; ``resolve`` is what a training script calls."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    store: MemoryStore = field(default_factory=MemoryStore)
    heard: list[Event] = field(default_factory=list)

    def set(self, **changed: str) -> None:
        for name, value in changed.items():
            self.monkeypatch.setenv(name, value)

    def resolve(self) -> Path:
        return weightdock.resolve(NAME, on_event=self.heard.append)

    @property
    def cache(self) -> Cache:
        return Cache(self.root)

    def fill_cache(self, weights: bytes | None = None) -> Path:
        with self.cache.partial(spec().model) as folder:
            return self.cache.publish(verified(folder / "x", weights=weights), "bin").path

    def keep(self, weights: bytes | None = None) -> None:
        self.store.keep(KEY, content("alpha") if weights is None else weights)
        manifest.publish(self.store, PREFIX, TOY, {"alpha": entry()})
        self.store.requests.clear()


@pytest.fixture
def resolving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    home = tmp_path / "catalogue"
    (home / "toy").mkdir(parents=True)
    (home / "toy" / "models.toml").write_text(
        'extension = "bin"\n[models.alpha]\ntask = "classify"\ndescription = "the toy"\n'
    )
    monkeypatch.setattr(catalogue.extension, "__defaults__", (home,))
    monkeypatch.setattr(catalogue.select, "__defaults__", ((), (), home))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("AWS_", "WEIGHTDOCK_"))]:
        monkeypatch.delenv(name)
    scene = Scene(tmp_path / "cache", monkeypatch)

    def the_store(_sources: Sources) -> ObjectStore:
        return scene.store

    monkeypatch.setattr(Sources, "_store", the_store)
    scene.set(WEIGHTDOCK_CACHE=str(scene.root))
    return scene
