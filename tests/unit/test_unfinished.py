"""The records of uploads that were begun and not ended: kept, found, forgotten, and never half there."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import nfs
from support.samples import tree
from weightdock.errors import StoreError
from weightdock.store.unfinished import Begun, Unfinished

URL, BUCKET, KEY = "https://account.r2.example", "weights", "models/pretrained/toy/alpha.bin"
BEGUN = Begun("the-upload", "a" * 64, 200_000_000, 16_777_216, None)

BEGUNS = st.builds(
    Begun,
    upload_id=st.text(min_size=1),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    size_bytes=st.integers(min_value=0),
    part_bytes=st.integers(min_value=1),
    replacing=st.none() | st.text(),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / ".uploads"


@pytest.fixture
def records(folder: Path) -> Unfinished:
    return Unfinished(folder, URL, BUCKET)


def _only_file(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def test_an_upload_whose_run_still_lives_is_not_taken_over(records: Unfinished, folder: Path) -> None:
    another = Unfinished(folder, URL, BUCKET)  # as another process has it: its own open files
    before = len(list(Path("/proc/self/fd").iterdir()))
    with records.at_work(KEY):
        records.keep(KEY, BEGUN)
        assert another.find(KEY) == BEGUN
        assert another.take(KEY) is None
        assert records.take(KEY) == BEGUN
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert another.take(KEY) == BEGUN


def test_who_ends_forgets_no_upload_that_another_run_began_meanwhile(records: Unfinished, folder: Path) -> None:
    another = Unfinished(folder, URL, BUCKET)
    with records.at_work(KEY):
        records.keep(KEY, BEGUN)
        with another.at_work(KEY):
            another.keep(KEY, replace(BEGUN, upload_id="another"))
            records.forget(KEY)
            assert another.find(KEY) == replace(BEGUN, upload_id="another")
            another.forget(KEY)
    assert _names(folder) == []


def test_an_upload_whose_run_is_no_more_is_taken_over_by_one(records: Unfinished, folder: Path) -> None:
    records.keep(KEY, BEGUN)
    os.close(records._locked.pop(KEY))  # as when its process is killed
    first, second = Unfinished(folder, URL, BUCKET), Unfinished(folder, URL, BUCKET)
    assert (first.take(KEY), second.take(KEY)) == (BEGUN, None)


def test_where_there_are_no_locks_an_upload_is_taken_over_as_ever(
    records: Unfinished, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_handle: int, _how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    records.keep(KEY, BEGUN)
    assert Unfinished(folder, URL, BUCKET).take(KEY) == BEGUN
    assert records._locked == {}


def test_on_nfs_an_upload_whose_run_still_lives_is_not_taken_over(
    records: Unfinished, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", nfs.flock)
    with records.at_work(KEY):
        records.keep(KEY, BEGUN)
        assert Unfinished(folder, URL, BUCKET).take(KEY) is None


def test_records_are_the_group_s_whatever_the_umask_says(records: Unfinished, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        records.keep(KEY, BEGUN)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, _only_file(folder))] == [0o2775, 0o664]


def test_a_record_that_cannot_be_removed_does_not_fail_an_upload_that_is_there(
    records: Unfinished, folder: Path
) -> None:
    records.keep(KEY, BEGUN)
    path = _only_file(folder)
    path.unlink()
    path.mkdir()
    records.forget(KEY)
    assert path.is_dir()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_nothing_was_begun_where_nothing_is(records: Unfinished, folder: Path) -> None:
    assert records.find(KEY) is None
    records.forget(KEY)
    assert not folder.exists()


@pytest.mark.parametrize("replacing", [None, '"an-etag"'])
def test_what_was_begun_is_found_by_the_next_run_and_forgotten_when_it_has_ended(
    records: Unfinished, folder: Path, replacing: str | None
) -> None:
    begun = replace(BEGUN, replacing=replacing)
    with records.at_work(KEY):  # which a killed run's end ends, too
        records.keep(KEY, begun)
    next_run = Unfinished(folder, URL, BUCKET)
    assert next_run.find(KEY) == begun
    next_run.forget(KEY)
    assert records.find(KEY) is None
    assert tree(folder) == set()
    next_run.forget(KEY)


def test_what_is_begun_anew_takes_the_place_of_what_was_begun(records: Unfinished, folder: Path) -> None:
    records.keep(KEY, BEGUN)
    records.keep(KEY, replace(BEGUN, upload_id="another"))
    assert records.find(KEY) == replace(BEGUN, upload_id="another")
    assert len(tree(folder)) == 1


@given(begun=BEGUNS, key=st.text(min_size=1))
def test_a_record_reads_back_as_it_was_kept(begun: Begun, key: str) -> None:
    with TemporaryDirectory() as folder:
        records = Unfinished(Path(folder), URL, BUCKET)
        records.keep(key, begun)
        assert records.find(key) == begun


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("https://another.r2.example", BUCKET, KEY),
        (URL, "other-weights", KEY),
        (URL, BUCKET, f"{KEY}.bak"),
        (f"{URL}\n{BUCKET}", "", KEY),
    ],
    ids=["another endpoint", "another bucket", "another key", "the same text elsewhere"],
)
def test_a_record_is_of_one_key_in_one_bucket_at_one_endpoint(
    records: Unfinished, folder: Path, url: str, bucket: str, key: str
) -> None:
    others = Unfinished(folder, url, bucket)
    records.keep(KEY, BEGUN)
    assert others.find(key) is None
    others.keep(key, replace(BEGUN, upload_id="theirs"))
    others.forget(key)
    assert records.find(KEY) == BEGUN


def test_a_name_on_disk_says_nothing_of_the_key_and_cannot_climb_out(records: Unfinished, folder: Path) -> None:
    records.keep("../../../elsewhere", BEGUN)
    assert _only_file(folder).name.removesuffix(".json").isalnum()
    assert records.find("../../../elsewhere") == BEGUN


def _fields(**changed: object) -> bytes:
    return json.dumps(asdict(BEGUN) | changed).encode()


DAMAGED = {
    "empty": b"",
    "cut off": _fields()[:-1],
    "zeros, as after a power cut": bytes(100),
    "not UTF-8": b'{"upload_id": "\xff"}',
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "nested without end": b"[" * 100_000,
    "a field too few": json.dumps({"upload_id": "the-upload"}).encode(),
    "a field too many": _fields(newer=1),
    "an upload id that is null": _fields(upload_id=None),
    "an upload id that is a number": _fields(upload_id=7),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_record_that_cannot_be_read_counts_as_none_and_is_written_anew(
    records: Unfinished, folder: Path, content: bytes
) -> None:
    records.keep(KEY, BEGUN)
    _only_file(folder).write_bytes(content)
    assert records.find(KEY) is None
    records.keep(KEY, BEGUN)
    assert records.find(KEY) == BEGUN


def test_a_folder_where_the_record_belongs_counts_as_none(records: Unfinished, folder: Path) -> None:
    records.keep(KEY, BEGUN)
    path = _only_file(folder)
    path.unlink()
    path.mkdir()
    assert records.find(KEY) is None


def _fails(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["write", "rename"])
def test_a_run_that_ends_while_it_keeps_a_record_leaves_the_one_before(
    records: Unfinished, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    records.keep(KEY, BEGUN)
    with monkeypatch.context() as broken:
        if step == "write":
            broken.setattr(Path, "write_text", _fails)
        else:
            broken.setattr(os, "replace", _fails)
        with pytest.raises(StoreError, match="No space left"):
            records.keep(KEY, replace(BEGUN, upload_id="another"))
    assert _names(folder) == [_only_file(folder).name]
    assert records.find(KEY) == BEGUN
    assert Unfinished(folder, URL, BUCKET).find(KEY) == BEGUN


def test_a_record_is_complete_before_it_gets_its_name(
    records: Unfinished, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    rename: Callable[[Path, Path], None] = os.replace

    def observed(source: Path, target: Path) -> None:
        seen.append(json.loads(source.read_bytes()))
        assert not target.exists()
        rename(source, target)

    monkeypatch.setattr(os, "replace", observed)
    records.keep(KEY, BEGUN)
    assert seen == [asdict(BEGUN)]
    assert len(tree(folder)) == 1


def test_who_reads_while_others_write_sees_one_record_or_the_other(records: Unfinished, folder: Path) -> None:
    begun = [replace(BEGUN, upload_id=name * 1000) for name in ("a", "b")]
    records.keep(KEY, begun[0])

    def write(one: Begun) -> None:
        for _ in range(50):
            Unfinished(folder, URL, BUCKET).keep(KEY, one)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, one) for one in begun]
        found = {records.find(KEY)}
        while not all(writer.done() for writer in writers):
            found.add(records.find(KEY))
        for writer in writers:
            writer.result()
    assert found <= set(begun)
    assert len(tree(folder)) == 1
