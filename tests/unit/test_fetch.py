"""Whose thread writes what a file's own hashes; and a half that is not for this user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import get_ident
from typing import IO, Any

import pytest

from support.memory_store import MemoryStore
from support.samples import PREFIX, digest, entry, key_of
from weightdock.cache import Cache
from weightdock.events import Event, ignore
from weightdock.node import fetch
from weightdock.node.direct import DirectFile
from weightdock.node.ranges import Ranges
from weightdock.node.way import LIMITS

LARGE = bytes(9 * 1024 * 1024)


@pytest.mark.parametrize(("processors", "aside"), [(2, True), (1, False)], ids=["one is free", "none is"])
def test_a_piece_is_handed_to_the_disk_s_thread_where_a_processor_is_free_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int, aside: bool
) -> None:
    writing: list[bool] = []

    class Seen(DirectFile):
        def write(self, piece: memoryview) -> None:
            writing.append(get_ident() != here)
            super().write(piece)

    here, store = get_ident(), MemoryStore()
    monkeypatch.setattr(fetch, "DirectFile", Seen)
    store.keep(key_of("alpha"), LARGE)
    wanted = replace(entry("alpha"), size_bytes=len(LARGE), sha256=digest(LARGE))
    with Ranges(store, replace(LIMITS, wide=0, processors=processors)) as ranges:
        file = fetch.Fetch(PREFIX, ranges, Cache(tmp_path), ignore).run(wanted)
    assert file.path.read_bytes() == LARGE
    assert writing == [aside, aside]


def test_two_models_of_the_same_bytes_do_not_take_each_other_s_halves(tmp_path: Path) -> None:
    store, cache = MemoryStore(), Cache(tmp_path)
    alpha, beta = (replace(entry(name), size_bytes=len(LARGE), sha256=digest(LARGE)) for name in ("alpha", "beta"))
    for one in (alpha, beta):
        store.keep(one.key(PREFIX), LARGE)

    def meanwhile(event: Event) -> None:
        if event.model == alpha.model and not cache.find(beta.model, "bin"):
            filling.run(beta)

    with Ranges(store) as ranges:
        filling = fetch.Fetch(PREFIX, ranges, cache, meanwhile)
        assert filling.run(alpha).path.read_bytes() == LARGE
    assert cache.find(beta.model, "bin")
    assert list((tmp_path / ".partial").iterdir()) == []


def test_a_half_that_is_closed_to_this_user_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, through = MemoryStore(), Path.open
    store.keep(key_of("alpha"), LARGE)
    wanted = replace(entry("alpha"), size_bytes=len(LARGE), sha256=digest(LARGE))
    half = tmp_path / ".partial" / f"{wanted.sha256}.another"
    half.parent.mkdir()
    half.write_bytes(LARGE[: len(LARGE) // 2])

    def closed(path: Path, mode: str = "r", buffering: int = -1, **how: str | None) -> IO[Any]:
        if path == half:
            raise PermissionError(13, "Permission denied")  # as for who is not root
        return through(path, mode, buffering, **how)

    monkeypatch.setattr(Path, "open", closed)
    with Ranges(store) as ranges:
        file = fetch.Fetch(PREFIX, ranges, Cache(tmp_path), ignore).run(wanted)
    assert file.path.read_bytes() == LARGE
