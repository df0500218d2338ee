"""A fetch that asks nobody: a cap that is lower than when the cache was filled holds, and --deep reads all the same."""

from __future__ import annotations

import json
import os
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


def _fetch(cache: Cache, cap: int, *arguments: str, **more: str) -> Ran:
    given = {"WEIGHTDOCK_CACHE": str(cache.root), "WEIGHTDOCK_CACHE_BYTES": str(cap), **more}
    return run([str(WEIGHTDOCK), "fetch", *arguments], given, cwd=cache.root)


def test_what_is_not_asked_for_goes(cache: Cache) -> None:
    ran = _fetch(cache, SIZE, "--model", "yolo11n")
    assert ran.code == 0, ran.stderr
    assert "removed timm/convnext_tiny.pth, 0.0 MB, from the cache: WEIGHTDOCK_CACHE_BYTES\n" in ran.stderr
    assert files(cache.root) == {"ultralytics/yolo11n.pt", ".receipts/ultralytics/yolo11n.pt.json"}


def test_what_is_asked_for_stays_though_it_is_more(cache: Cache) -> None:
    before = files(cache.root)
    ran = _fetch(cache, SIZE, "--model", "yolo11n", "--model", "convnext_tiny")
    assert ran.code == 0
    assert "warning: the cache is 0.0 MB over WEIGHTDOCK_CACHE_BYTES: what was asked for stays\n" in ran.stderr
    assert files(cache.root) == before


def test_under_the_cap_everything_stays(cache: Cache) -> None:
    before = files(cache.root)
    assert _fetch(cache, 2 * SIZE, "--model", "yolo11n").code == 0
    assert files(cache.root) == before


def test_deep_reads_every_file_where_nobody_may_be_asked(cache: Cache) -> None:
    path = cache.root / "timm" / "convnext_tiny.pth"
    status = path.stat()
    path.write_bytes(b"damaged".ljust(SIZE))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    models = ("--model", "yolo11n", "--model", "convnext_tiny")
    assert _fetch(cache, 2 * SIZE, *models, WEIGHTDOCK_OFFLINE="1").code == 0, "what the receipt cannot see"
    ran = _fetch(cache, 2 * SIZE, *models, "--deep", "--json", WEIGHTDOCK_OFFLINE="1")
    outcomes = {row["model"]: row["outcome"] for row in json.loads(ran.stdout)["results"]}
    assert (ran.code, outcomes) == (5, {"timm/convnext_tiny": "failed", "ultralytics/yolo11n": "in the cache"})
    assert _fetch(cache, 2 * SIZE, *models, WEIGHTDOCK_OFFLINE="1").code == 5, "what was found is not forgotten"
