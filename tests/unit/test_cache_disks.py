"""A cache is on one file system: where a framework's folder is on another, that is said, and nothing is fetched."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.filled_node import Node
from support.published import MODEL, published_toy
from support.samples import digest
from weightdock.cache import Cache
from weightdock.errors import ConfigurationError, ExitCode


def _message(cache: Cache) -> str:
    return (
        f"error: {cache.root}/toy is on another file system than the rest of the cache\n"
        f"cause: a file that is complete is renamed to there from {cache.root}/.partial\n"
        "next: mount or link the whole cache there, and not one folder of it: WEIGHTDOCK_CACHE=<a folder there>"
    )


@pytest.mark.parametrize(
    "begin", [lambda cache: cache.partial(MODEL), lambda cache: cache.half(MODEL, digest(b"the whole"))]
)
def test_a_download_that_could_not_get_its_name_is_not_begun(
    tmp_path: Path, begin: Callable[[Cache], AbstractContextManager[Path]]
) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "toy").symlink_to("/proc")  # another file system on every Linux
    with pytest.raises(ConfigurationError) as refused, begin(cache):
        pytest.fail("a download began")
    assert str(refused.value) == _message(cache)
    assert list((tmp_path / ".partial").iterdir()) == []


def test_a_node_asks_for_nothing_that_it_could_not_keep(node: Node) -> None:
    node.root.mkdir()
    (node.root / "toy").symlink_to("/proc")
    report = node.fill("alpha")
    assert [str(one.error) for one in report.results] == [_message(node.cache)]
    assert report.exit_code is ExitCode.USAGE
    assert not [request for request in node.store.requests if request.startswith("read_range")]


def test_two_mounts_of_one_disk_are_told_when_a_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_source: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", refused)
    cache = Cache(tmp_path)
    with pytest.raises(ConfigurationError) as told:
        published_toy(cache)
    assert str(told.value) == _message(cache)
    assert list((tmp_path / ".partial").iterdir()) == []
