"""The cache as it is read: what was verified is found, and nothing else is."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.published import FILES, MODEL, RECEIPT, published_toy
from support.samples import content, digest, tree, verified
from weightdock.cache import Cache
from weightdock.verify import identity_of


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_what_was_published_is_found_under_its_name(cache: Cache) -> None:
    published = published_toy(cache)
    path = cache.root / "toy" / "alpha.bin"
    assert published == verified(cache.root / "x")._replace(path=path, identity=identity_of(path.stat()))
    assert cache.find(MODEL, "bin") == published
    assert published.path.read_bytes() == content("alpha")


def test_a_file_that_a_node_fetched_is_found_without_provenance(cache: Cache) -> None:
    with cache.partial(MODEL) as folder:
        published = cache.publish(verified(folder / "download")._replace(provenance=None), "bin")
    assert (published.provenance, cache.find(MODEL, "bin")) == (None, published)


def test_publishing_again_replaces_the_file(cache: Cache) -> None:
    published_toy(cache)
    second = published_toy(cache, b"newer weights")
    assert cache.find(MODEL, "bin") == second
    assert (second.path.read_bytes(), tree(cache.root)) == (b"newer weights", FILES)


def test_a_cache_that_is_not_there_holds_nothing_and_is_not_made_by_looking(cache: Cache) -> None:
    assert cache.find(MODEL, "bin") is None
    assert not cache.root.exists()


def _grow(path: Path) -> None:
    identity = path.stat()
    path.write_bytes(path.read_bytes() + b"!")
    os.utime(path, ns=(identity.st_atime_ns, identity.st_mtime_ns))


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _replace(path: Path) -> None:
    identity = path.stat()
    another = path.with_name("another")
    another.write_bytes(bytes(identity.st_size))
    os.utime(another, ns=(identity.st_atime_ns, identity.st_mtime_ns))
    another.replace(path)


@pytest.mark.parametrize("change", [_grow, _touch, _replace, Path.unlink])
def test_a_file_that_is_no_longer_what_was_verified_is_not_found(cache: Cache, change: Callable[[Path], None]) -> None:
    change(published_toy(cache).path)
    assert cache.find(MODEL, "bin") is None


def _without(name: str) -> bytes:
    good = {
        "size": 1,
        "mtime_ns": 1,
        "inode": 1,
        "sha256": "0" * 64,
        "provenance": None,
    }
    return json.dumps({key: value for key, value in good.items() if key != name}).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"size"',
        b"7",
        b"\xff\xfe",
        b"[" * 100_000,
        *map(_without, ["size", "mtime_ns", "inode", "sha256", "provenance"]),
    ],
    ids=lambda damaged: repr(damaged[:40]),
)
def test_a_damaged_receipt_counts_for_nothing(cache: Cache, damaged: bytes) -> None:
    published_toy(cache)
    (cache.root / RECEIPT).write_bytes(damaged)
    assert cache.find(MODEL, "bin") is None


@pytest.mark.parametrize(
    "changed",
    [
        {"sha256": "abc"},
        {"sha256": None},
        {"sha256": 5},
        {"size": "23"},
        {"provenance": []},
        {"provenance": "somewhere"},
        {"provenance": {}},
        {"provenance": {"url": "", "revision": "", "digest": "", "licence": "", "versions": {}, "more": ""}},
    ],
    ids=repr,
)
def test_a_receipt_with_a_wrong_field_counts_for_nothing(cache: Cache, changed: dict[str, object]) -> None:
    published_toy(cache)
    receipt = cache.root / RECEIPT
    receipt.write_text(json.dumps(json.loads(receipt.read_text()) | changed))
    assert cache.find(MODEL, "bin") is None


def test_a_receipt_that_is_gone_means_that_nothing_was_verified(cache: Cache) -> None:
    published_toy(cache)
    (cache.root / RECEIPT).unlink()
    assert cache.find(MODEL, "bin") is None


def test_what_a_read_only_cache_has_is_good_though_its_new_receipt_cannot_be_written(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = published_toy(cache)
    _touch(published.path)

    def refused(_source: Path, _target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refused)  # root, as here, is refused nothing but by such a mount
    touched = published._replace(provenance=None, identity=identity_of(published.path.stat()))
    assert cache.adopt(MODEL, "bin", digest(content("alpha"))) == touched
    assert cache.find(MODEL, "bin") is None
    assert tree(cache.root) == FILES
