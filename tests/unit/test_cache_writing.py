"""The cache as it is written: a file has its name when it is complete and durable, or not at all."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support import killed_publisher
from support.command import environment
from support.published import FILES, MODEL, RECEIPT, published_toy
from support.samples import digest, provenance, tree, verified
from weightdock.cache import Cache
from weightdock.errors import ConfigurationError, IntegrityError, StoreError
from weightdock.verify import identity_of, sha256_of

WHOLE = digest(b"the whole")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_every_download_has_an_empty_folder_of_its_own_on_the_caches_file_system(cache: Cache) -> None:
    with cache.partial(MODEL) as first, cache.partial(MODEL) as second:
        assert first != second
        for folder in (first, second):
            assert list(folder.iterdir()) == []
            assert folder.parent == cache.root / ".partial"


def test_nothing_of_a_download_stays_after_success(cache: Cache) -> None:
    published_toy(cache)
    assert tree(cache.root) == FILES
    assert list((cache.root / ".partial").iterdir()) == []


def test_the_same_file_of_the_same_origin_is_not_put_in_place_of_one_that_may_be_under_way(cache: Cache) -> None:
    with cache.partial(MODEL) as folder:
        first = cache.publish_once(verified(folder / "first"), "bin")
        second = cache.publish_once(verified(folder / "second"), "bin")
        assert second == first
        assert first.identity == identity_of(first.path.stat())
        other = cache.publish_once(verified(folder / "other", weights=b"other"), "bin")
        assert (other.path.read_bytes(), other.identity) == (b"other", identity_of(other.path.stat()))


def _fails(cache: Cache, error: type[BaseException]) -> None:
    with cache.partial(MODEL) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "half").write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_of_a_download_stays_after_a_failure(cache: Cache, error: type[BaseException]) -> None:
    with pytest.raises(error):
        _fails(cache, error)
    assert tree(cache.root) == set()
    assert list((cache.root / ".partial").iterdir()) == []


def test_every_half_is_an_empty_file_of_its_own_and_goes_when_it_gets_no_name(cache: Cache) -> None:
    with cache.half(MODEL, WHOLE) as first, cache.half(MODEL, WHOLE) as second:
        assert first != second
        assert cache.leftovers(WHOLE) == [], "who takes one up clears it away"
        for path in (first, second):
            assert path.read_bytes() == b""
            path.write_bytes(b"half")
        assert {path.name for path in cache.leftovers(WHOLE)} == {first.name, second.name}
        assert cache.leftovers(digest(b"another")) == []
    assert list((cache.root / ".partial").iterdir()) == []


def test_a_half_is_never_begun_in_a_file_that_is_there(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    with cache.half(MODEL, WHOLE) as path:
        path.write_bytes(b"another's")
        with pytest.raises(ConfigurationError, match="cannot be written"), cache.half(MODEL, WHOLE):
            pytest.fail("two write to one file")
        assert path.read_bytes() == b"another's"


def test_a_half_that_got_its_name_leaves_nothing_behind(cache: Cache) -> None:
    with cache.half(MODEL, WHOLE) as path:
        cache.publish(verified(path), "bin")
    assert tree(cache.root) == FILES


def _end(cache: Cache, error: BaseException, before: Callable[[Path], object]) -> None:
    with cache.half(MODEL, WHOLE) as path:
        before(path)
        raise error


def _of_the_disk() -> StoreError:
    error = StoreError("the disk", cause="is full", next="see to it")
    error.__cause__ = OSError("is full")
    return error


@pytest.mark.parametrize(
    ("error", "content", "stays"),
    [
        (StoreError("the store", cause="ended it", next="again"), b"half", True),
        (KeyboardInterrupt(), b"half", True),
        (StoreError("the store", cause="ended it", next="again"), b"", False),
        (_of_the_disk(), b"half", False),
        (IntegrityError("another file", cause="it differs", next="see"), b"half", False),
        (RuntimeError(), b"half", False),
    ],
    ids=["store", "Ctrl-C", "nothing came", "disk", "other bytes", "fault of ours"],
)
def test_what_a_half_is_good_for_says_whether_it_stays(
    cache: Cache, error: BaseException, content: bytes, stays: bool
) -> None:
    with pytest.raises(type(error)):
        _end(cache, error, lambda path: path.write_bytes(content))
    left = [path.read_bytes() for path in (cache.root / ".partial").iterdir()]
    assert left == ([content] if stays else [])


def test_the_group_may_go_on_with_a_half_whatever_the_umask_is(cache: Cache) -> None:
    before = os.umask(0o077)
    try:
        with cache.half(MODEL, WHOLE) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o664
    finally:
        os.umask(before)


def test_a_half_that_somebody_cleared_away_is_no_error(cache: Cache) -> None:
    with pytest.raises(KeyboardInterrupt):
        _end(cache, KeyboardInterrupt(), Path.unlink)


@pytest.mark.parametrize("begin", [lambda cache: cache.partial(MODEL), lambda cache: cache.half(MODEL, WHOLE)])
def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, begin: Callable[[Cache], AbstractContextManager[Path]]
) -> None:
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("")
    with pytest.raises(ConfigurationError) as refused, begin(Cache(in_the_way)):
        pytest.fail("a download began")
    assert str(refused.value) == (
        f"error: the cache {in_the_way} cannot be written\n"
        f"cause: [Errno 20] Not a directory: '{in_the_way}'\n"
        "next: WEIGHTDOCK_CACHE=<a folder that this user may write>"
    )


def test_a_file_that_cannot_get_its_name_is_an_error_of_ours(cache: Cache) -> None:
    with cache.partial(MODEL) as folder:
        (cache.root / "toy").write_text("a file where the framework's folder should be")
        with pytest.raises(StoreError):
            cache.publish(verified(folder / "download"), "bin")


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to a writer, without a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_does_not_take_a_file_is_named_and_keeps_nothing_of_it(cache: Cache) -> None:
    with _files_no_larger_than(10), pytest.raises(StoreError) as refused, cache.partial(MODEL) as folder:
        verified(folder / "download")
    assert str(refused.value) == (
        f"error: the cache {cache.root} did not take toy/alpha\n"
        "cause: [Errno 27] File too large\n"
        "next: nothing half-written was left; see to the disk (df -h), then run again"
    )
    assert tree(cache.root) == set()


def test_a_receipt_that_the_disk_does_not_take_leaves_no_half_of_it(cache: Cache) -> None:
    with cache.partial(MODEL) as folder:
        file = verified(folder / "download")
        with _files_no_larger_than(10), pytest.raises(StoreError):
            cache.publish(file, "bin")
    assert cache.find(MODEL, "bin") is None
    assert published_toy(cache) == cache.find(MODEL, "bin")
    assert tree(cache.root) == FILES


def test_everybody_may_read_a_file_and_its_receipt_and_the_group_may_write_whatever_the_umask_is(cache: Cache) -> None:
    before = os.umask(0o077)
    try:
        published = published_toy(cache)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (published.path, cache.root / RECEIPT)}
    assert set(modes.values()) == {0o664}, modes
    folders = [path for path in cache.root.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o2775}, folders


def test_a_file_is_durable_before_it_has_its_name_and_has_its_name_before_its_receipt(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.replace

    def record_fsync(handle: int) -> None:
        done.append(("fsync", str(Path(f"/proc/self/fd/{handle}").readlink().relative_to(cache.root))))
        fsync(handle)

    def record_rename(source: str | Path, target: Path) -> None:
        done.append(("rename", str(target.relative_to(cache.root))))
        rename(source, target)

    with cache.partial(MODEL) as folder:
        file = verified(folder / "download")
        monkeypatch.setattr(os, "fsync", record_fsync)
        monkeypatch.setattr(os, "replace", record_rename)
        cache.publish(file, "bin")
    assert done == [
        ("fsync", str(file.path.relative_to(cache.root))),
        ("rename", "toy/alpha.bin"),
        ("rename", RECEIPT),
    ]


def test_publishing_leaves_no_file_open(cache: Cache) -> None:
    handles = Path("/proc/self/fd")
    published_toy(cache)
    before = len(list(handles.iterdir()))
    published_toy(cache)
    assert len(list(handles.iterdir())) == before


def test_a_receipt_never_vouches_for_a_file_that_another_process_put_there_meanwhile(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def overtaken(source: str | Path, target: Path) -> None:
        rename(source, target)
        if target.suffix == ".bin":
            another = target.with_name("another")
            another.write_bytes(b"what the other process verified")
            rename(another, target)

    with cache.partial(MODEL) as folder:
        file = verified(folder / "download")
        monkeypatch.setattr(os, "replace", overtaken)
        cache.publish(file, "bin")
    found = cache.find(MODEL, "bin")
    assert found is None or found.sha256 == sha256_of(found.path)


def _publish_until(step: int, root: Path) -> int:
    """The exit status of a process that publishes and is killed at that step."""
    command = [sys.executable, "-m", "support.killed_publisher", str(root), str(step)]
    python_path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(command, env=environment({"PYTHONPATH": python_path}), check=False).returncode


def test_a_process_that_is_killed_at_any_step_leaves_a_complete_file_or_none(tmp_path: Path) -> None:
    for step in range(100):
        cache = Cache(tmp_path / str(step))
        status = _publish_until(step, cache.root)
        path, found = cache.path(MODEL, "bin"), cache.find(MODEL, "bin")
        if path.exists():
            assert path.read_bytes() == killed_publisher.WEIGHTS, step
        if found:
            assert (found.sha256, found.provenance) == (sha256_of(path), provenance()), step
        # What the dead process left does not hinder the next one.
        again = published_toy(cache)
        assert cache.find(MODEL, "bin") == again, step
        if status == 0:
            break
        assert status == -signal.SIGKILL, step
    assert step > 10, "the process was hardly ever killed"
    assert found, "the process that nobody killed published nothing"
