"""A cap that is lower than when the cache was filled holds from the next fetch on, though that asks nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import WEIGHTDOCK, Ran, run
from support.samples import files
from weightdock import catalogue
from weightdock.cache import Cache
from weightdock.verify import verify

SIZE = 1000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    for spec in catalogue.select(["yolo11n", "convnext_tiny"]):
        with cache.partial(spec.model) as folder:
            (folder / "x").write_bytes(spec.model.name.encode().ljust(SIZE))
            cache.publish(verify(spec.model, folder / "x", []), spec.extension)
    return cache


def _fetch(cache: Cache, cap: int, *arguments: str) -> Ran:
    given = {"WEIGHTDOCK_CACHE": str(cache.root), "WEIGHTDOCK_CACHE_BYTES": str(cap)}
    return run([str(WEIGHTDOCK), "fetch", *arguments], given, cwd=cache.root)


def test_what_is_not_asked_for_goes(cache: Cache) -> None:
    ran = _fetch(cache, SIZE, "--model", "yolo11n")
    assert ran.code == 0, ran.stderr
    assert files(cache.root) == {"ultralytics/yolo11n.pt", ".receipts/ultralytics/yolo11n.pt.json"}


def test_what_is_asked_for_stays_though_it_is_more(cache: Cache) -> None:
    before = files(cache.root)
    assert _fetch(cache, SIZE, "--model", "yolo11n", "--model", "convnext_tiny").code == 0
    assert files(cache.root) == before


def test_under_the_cap_everything_stays(cache: Cache) -> None:
    before = files(cache.root)
    assert _fetch(cache, 2 * SIZE, "--model", "yolo11n").code == 0
    assert files(cache.root) == before
