"""A fill whose files only wait has more of them under way than it began with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, entry, key_of, spec
from support.workers import SECONDS
from weightdock.cache import Cache
from weightdock.cache.room import Room
from weightdock.errors import ExitCode
from weightdock.events import ignore
from weightdock.node import fill, turns
from weightdock.node.way import LIMITS
from weightdock.store import Target, manifest

NAMES = ("alpha", "beta", "gamma")


def test_while_the_processor_is_idle_a_second_file_is_fetched_beside_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, both, through = MemoryStore(), Barrier(2), MemoryStore.give
    given: list[bytes] = []
    for name in NAMES:
        store.keep(key_of(name), content(name))
    manifest.publish(store, PREFIX, TOY, {name: entry(name) for name in NAMES})

    def give(store: MemoryStore, what: bytes, target: Target) -> None:
        given.append(what)
        if len(given) > 1:  # the first shows that there is nothing to do but to wait
            both.wait(timeout=SECONDS)
        through(store, what, target)

    monkeypatch.setattr(MemoryStore, "give", give)
    monkeypatch.setattr("time.process_time", lambda: 0.0)
    monkeypatch.setattr(turns, "_WINDOW_SECONDS", 0)
    monkeypatch.setattr(fill, "LIMITS", replace(LIMITS, files=1, ahead=2))
    report = fill.Fill(PREFIX, store, Room(Cache(tmp_path)), ignore).run([spec(name) for name in NAMES])
    assert report.exit_code is ExitCode.DONE
