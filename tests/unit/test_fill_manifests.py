"""A fill of several frameworks: what is wrong with the manifest of one is no reason to leave out the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, entry, key_of, spec
from weightdock.artifact import Framework, ModelId
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.errors import ExitCode, StoreError
from weightdock.events import ignore
from weightdock.node.fill import Fill
from weightdock.report import Outcome
from weightdock.store import Document, manifest
from weightdock.store.manifest import manifest_key

GAME = Framework("game")
GAME_MANIFEST = manifest_key(PREFIX, GAME)
SPECS = [
    spec()._replace(model=ModelId(GAME, "alpha")),
    spec("alpha"),
    spec("beta")._replace(model=ModelId(GAME, "beta")),
]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.keep(key_of(), content("alpha"))
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")})
    return store


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("{", f"{GAME_MANIFEST} is malformed"),
        (json.dumps({"schema": 9, "models": {}}), f"{GAME_MANIFEST} has schema 9"),
        (None, "game/{name} is not in the store"),
    ],
    ids=["malformed", "newer", "missing"],
)
def test_the_models_of_a_manifest_that_makes_no_sense_fail_and_others_are_fetched(
    store: MemoryStore, tmp_path: Path, document: str | None, what: str
) -> None:
    if document is not None:
        store.keep(GAME_MANIFEST, document.encode())
    report = Fill(PREFIX, store, Room(Cache(tmp_path)), ignore).run(SPECS)
    assert [row.outcome for row in report.results] == [Outcome.FAILED, Outcome.FETCHED, Outcome.FAILED]
    assert [row.error.what for row in report.results if row.error] == [
        what.format(name=name) for name in ("alpha", "beta")
    ]
    assert report.exit_code is ExitCode.STORE
    assert (tmp_path / "toy" / "alpha.bin").read_bytes() == content("alpha")


def test_without_the_store_a_run_ends_at_the_first_manifest(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(key: str) -> Document:
        asked.append(key)
        raise StoreError(f"the store did not give {key}", cause="nobody is there", next="start it")

    monkeypatch.setattr(store, "read_document", away)
    with pytest.raises(StoreError, match=f"did not give {GAME_MANIFEST}"):
        Fill(PREFIX, store, Room(Cache(tmp_path)), ignore).run(SPECS)
    assert asked == [GAME_MANIFEST]
