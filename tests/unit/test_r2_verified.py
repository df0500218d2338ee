"""Of a file nothing goes out but what was verified, whatever somebody does to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.samples import verified
from support.scripted_server import Script, scripted
from support.scripted_store import BEGUN, COMPLETED, KEY, OK, WEIGHTS, store_at
from weightdock.errors import StoreError
from weightdock.store import r2


def _lines(script: Script) -> list[str]:
    return [request.line for request in script.requests]


def test_of_a_file_that_grew_since_it_was_verified_no_more_is_sent_than_was(tmp_path: Path) -> None:
    file = verified(tmp_path / "alpha")._replace(identity=None)
    with file.path.open("ab") as stream:
        stream.write(b"GET / HTTP/1.1\r\n\r\n")
    with scripted(OK) as script:
        store = store_at(script.url)
        assert store.put_file(file, KEY, lambda _: None)
        store.head(KEY)
    assert _lines(script) == [f"PUT /weights/{KEY}", f"HEAD /weights/{KEY}"]
    assert script.requests[0].body == WEIGHTS


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("limit", [8, 100], ids=["in parts", "whole"])
def test_a_file_that_got_shorter_since_it_was_verified_is_said_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", limit)
    file = verified(tmp_path / "alpha")._replace(identity=None)
    file.path.write_bytes(WEIGHTS[:5])
    with scripted(BEGUN, OK) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(file, KEY, lambda _: None)
    missing = min(limit, len(WEIGHTS)) - 5
    assert str(refused.value) == (
        f"error: the cache did not give {file.path.name}\n"
        f"cause: {missing} bytes are missing: somebody wrote to it since it was verified\n"
        "next: see to the disk and to who else writes there, then run again"
    )


def _another(path: Path) -> None:
    (path.parent / "another").write_bytes(WEIGHTS.swapcase())
    (path.parent / "another").rename(path)


def _written_to(path: Path) -> None:
    path.write_bytes(WEIGHTS.swapcase())


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("parts_before", [0, 1, 2])
@pytest.mark.parametrize("change", [_another, _written_to])
def test_parts_of_what_is_not_what_was_verified_are_never_completed(
    tmp_path: Path, change: Callable[[Path], None], parts_before: int
) -> None:
    file = verified(tmp_path / "alpha")
    if parts_before == 0:
        change(file.path)
    with scripted(BEGUN, OK, OK, OK, COMPLETED) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(file, KEY, lambda sent: change(file.path) if sent == 8 * parts_before else None)
    assert refused.value.cause == "it is not what it was: somebody wrote to it since it was verified"
    assert len(_lines(script)) == 1 + parts_before


def test_a_disk_that_does_not_give_a_file_is_no_fault_of_the_store(tmp_path: Path) -> None:
    file = verified(tmp_path / "alpha")
    file.path.unlink()
    file.path.mkdir()  # opening it is no success, nor is any try after it
    with scripted(OK) as script, pytest.raises(StoreError) as refused:
        store_at(script.url).put_file(file, KEY, lambda _: None)
    assert str(refused.value).splitlines()[:2] == [
        f"error: the cache did not give {file.path.name}",
        f"cause: [Errno 21] Is a directory: '{file.path}'",
    ]
