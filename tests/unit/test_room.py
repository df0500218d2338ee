"""Room in the cache: what goes first, what stays whatever comes, and what is refused before it begins."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.fake_time import Time
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, digest, entry, files, spec
from weightdock.artifact import ModelId
from weightdock.cache import Cache, locks, room
from weightdock.cache.locks import remove
from weightdock.cache.room import Room, _Kept
from weightdock.errors import ConfigurationError, StoreError
from weightdock.events import ignore
from weightdock.node import warm
from weightdock.node.fill import Fill
from weightdock.report import Outcome, RunReport
from weightdock.store import manifest
from weightdock.verify import VerifiedFile, verify

NAMES = ("oldest", "older", "newest")
SIZE = 1000
NEW = Path("toy/new.bin")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Three models of a thousand bytes, last used in their order."""
    cache = Cache(tmp_path / "cache")
    for age, name in enumerate(NAMES):
        model = ModelId(TOY, name)
        with cache.partial(model) as folder:
            (folder / "x").write_bytes(name.encode().ljust(SIZE))
            file = cache.publish(verify(model, folder / "x", []), "bin")
        os.utime(cache.receipt(file.path), (1000 + age, 1000 + age))
    return cache


def _file(cache: Cache, name: str) -> VerifiedFile:
    found = cache.find(ModelId(TOY, name), "bin")
    assert found
    return found


def _left(cache: Cache) -> list[str]:
    left = [name for name in NAMES if cache.path(ModelId(TOY, name), "bin").exists()]
    receipts = {f".receipts/toy/{name}.bin.json" for name in left}
    assert files(cache.root) == {f"toy/{name}.bin" for name in left} | receipts
    return left


def test_what_was_used_longest_ago_goes_first_and_no_more_than_has_to(cache: Cache) -> None:
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["older", "newest"]


def test_a_use_counts_and_not_when_a_file_was_made(cache: Cache) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from weightdock.cache import Cache; from weightdock.artifact import ModelId\n"
        "cache = Cache(Path(sys.argv[1])); cache.used(cache.find(ModelId.parse('toy/oldest'), 'bin'))"
    )
    subprocess.run([sys.executable, "-c", script, str(cache.root)], check=True)  # and it ends, so nobody uses it now
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["oldest", "newest"]


def _filled(cache: Cache) -> RunReport:
    store = MemoryStore()
    manifest.publish(store, PREFIX, TOY, {"oldest": entry("oldest", b"oldest".ljust(SIZE))})
    return Fill(PREFIX, store, Room(cache), ignore).run([spec("oldest")])


@pytest.mark.parametrize(
    "fetch",
    [
        lambda cache: warm.report([spec("oldest")], PREFIX, cache, ignore),
        lambda cache: warm.offline_report([spec("oldest")], PREFIX, cache, ignore, deep=False),
        _filled,
    ],
    ids=["warm", "offline", "beside others"],
)
def test_to_be_fetched_again_is_a_use_that_ends_at_once(cache: Cache, fetch: Callable[[Cache], RunReport]) -> None:
    assert [one.outcome for one in fetch(cache).results] == [Outcome.CACHED]
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["oldest", "newest"]
    assert not locks.leased(_file(cache, "oldest").path, unknown=True)


def test_where_a_use_cannot_be_noted_the_file_is_used_all_the_same(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_receipt: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refused)
    assert warm.report([spec("oldest")], PREFIX, cache, ignore)
    assert cache.used(_file(cache, "oldest"))


def test_without_a_cap_nothing_goes(cache: Cache) -> None:
    Room(cache).make({NEW: SIZE}, set())
    assert _left(cache) == list(NAMES)


def test_what_a_living_process_resolved_stays_until_it_ends(cache: Cache) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from weightdock.cache import Cache; from weightdock.artifact import ModelId\n"
        "cache = Cache(Path(sys.argv[1])); cache.used(cache.find(ModelId.parse('toy/oldest'), 'bin'))\n"
        "print('used', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(cache.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        assert user.stdout.readline() == "used\n"
        os.utime(cache.receipt(_file(cache, "oldest").path), (1, 1))
        Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
        assert _left(cache) == ["oldest", "newest"]
        user.communicate()
    Room(cache, cap_bytes=2500).make({NEW: SIZE}, set())
    assert _left(cache) == ["newest"]


@pytest.mark.parametrize("glob", ["toy/oldest", "old*", "toy/old*"])
def test_what_is_pinned_stays(cache: Cache, glob: str) -> None:
    Room(cache, cap_bytes=3500, pinned=(glob,)).make({NEW: SIZE}, set())
    assert "oldest" in _left(cache)


def test_what_is_linked_elsewhere_stays_as_removing_it_would_free_nothing(cache: Cache, tmp_path: Path) -> None:
    os.link(_file(cache, "oldest").path, tmp_path / "linked")
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["oldest", "newest"]


def test_what_is_asked_for_in_this_run_stays(cache: Cache) -> None:
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, {_file(cache, "oldest").path})
    assert _left(cache) == ["oldest", "newest"]


def test_what_is_fetched_again_takes_its_own_place(cache: Cache) -> None:
    damaged = _file(cache, "newest").path
    Room(cache, cap_bytes=3 * SIZE).make({damaged: SIZE}, {damaged})
    assert _left(cache) == list(NAMES)


def test_where_evicting_would_not_help_nothing_is_evicted(cache: Cache) -> None:
    with pytest.raises(StoreError) as refused:
        Room(cache, cap_bytes=3000, pinned=("newest",)).make({NEW: 2500}, set())
    assert refused.value.what == f"the cache {cache.root} has no room under its cap"
    assert _left(cache) == list(NAMES)


def test_where_nothing_is_to_come_a_cap_that_is_too_low_fails_nobody(cache: Cache) -> None:
    Room(cache, cap_bytes=500).make({}, {_file(cache, "newest").path})
    assert _left(cache) == ["newest"]


def test_who_makes_room_just_now_is_waited_for_and_not_taken_for_a_user(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing, another = Time(), ExitStack()
    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=passing.clock, sleep=passing.sleep))
    (cache.root / ".locks").mkdir()
    for path in (cache.root / ".locks" / "room", *(_file(cache, name).path for name in NAMES)):
        another.enter_context(locks.exclusive(path, "looks", pytest.fail))
    passing.meanwhile = another.close
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["older", "newest"]


def test_what_another_process_evicts_meanwhile_is_gone(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest, kept = _file(cache, "oldest").path, Room._kept

    def evicted(made: Room) -> Sequence[_Kept]:
        found = kept(made)
        oldest.unlink()
        return found

    monkeypatch.setattr(Room, "_kept", evicted)
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["older", "newest"]


def test_what_another_process_fetches_again_as_it_goes_keeps_its_receipt(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = _file(cache, "oldest")

    def then_fetched(path: Path) -> bool:
        assert remove(path)
        with cache.partial(oldest.model) as folder:
            (folder / "x").write_bytes(bytes(SIZE))
            cache.publish(verify(oldest.model, folder / "x", []), "bin")
        return True

    monkeypatch.setattr(room, "remove", then_fetched)
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _file(cache, "oldest").path.read_bytes() == bytes(SIZE)


def test_what_somebody_resolves_while_room_is_made_stays(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    spared = Room._is_spared

    def then_resolved(made: Room, path: Path) -> bool:
        was = spared(made, path)
        if path == _file(cache, "oldest").path:
            assert cache.used(_file(cache, "oldest"))
        return was

    monkeypatch.setattr(Room, "_is_spared", then_resolved)
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == list(NAMES)


def test_a_disk_without_room_is_told_before_anything_is_written(cache: Cache) -> None:
    with pytest.raises(StoreError) as refused:
        Room(cache).make({NEW: 10**18}, set())
    assert refused.value.what == f"the disk of {cache.root} has no room"
    assert "1000000000000.0 MB are to come" in refused.value.cause
    assert refused.value.cause.endswith(" are free, and 67.1 MB must stay free")


def _disk_with(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=free_bytes, f_frsize=1))


def test_where_the_disk_has_no_room_even_then_nothing_is_evicted(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    _disk_with(monkeypatch, room._SPARE_BYTES - 1)
    with pytest.raises(StoreError) as refused:
        Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert refused.value.what == f"the disk of {cache.root} has no room"
    assert " are free or could be, and " in refused.value.cause
    assert _left(cache) == list(NAMES)


def test_what_eviction_frees_is_room_on_the_disk(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    _disk_with(monkeypatch, room._SPARE_BYTES)
    Room(cache, cap_bytes=3500).make({NEW: SIZE}, set())
    assert _left(cache) == ["older", "newest"]


def test_room_is_asked_of_the_disk_that_a_cache_is_going_to_be_on(tmp_path: Path) -> None:
    Room(Cache(tmp_path / "not" / "there" / "yet")).make({NEW: 1}, set())
    assert list(tmp_path.iterdir()) == []


def test_downloads_that_died_long_ago_are_swept_and_young_ones_are_kept(cache: Cache) -> None:
    for name, age in (("dead", 25 * 3600), ("young", 60)):
        folder = cache.root / ".partial" / f"of-a-loader-{name}"
        folder.mkdir()
        half = cache.root / ".partial" / f"{digest(b'x')}.{name}"
        for path in (half, folder / "half"):
            path.write_bytes(b"half")
        then = half.stat().st_mtime - age
        for path in (half, folder / "half", folder):
            os.utime(path, (then, then))
    cache.sweep()
    young = f"{digest(b'x')}.young"
    assert {path.name for path in (cache.root / ".partial").iterdir()} == {"of-a-loader-young", young}
    assert [path.name for path in cache.leftovers(digest(b"x"))] == [young]


def test_a_folder_that_cannot_be_looked_at_is_left_to_who_writes_there(cache: Cache) -> None:
    too_long = Cache(cache.root / ("x" * 300))  # as one whose parent is closed to this user, which root's never is
    Room(too_long).make({NEW: SIZE}, set())
    with pytest.raises(ConfigurationError, match="cannot be written"), too_long.partial(ModelId(TOY, "newest")):
        pytest.fail("there is no folder")


def test_what_died_long_ago_goes_before_room_is_looked_for(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, store = cache.root / ".partial" / "dead", MemoryStore()
    dead.mkdir()
    os.utime(dead, (0, 0))
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")})
    found: list[bool] = []
    monkeypatch.setattr(Room, "make", lambda *_: found.append(dead.exists()))
    Fill(PREFIX, store, Room(cache), ignore).run([spec("alpha")])
    assert found == [False]
