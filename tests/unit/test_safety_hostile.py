"""The corpus: every hostile file is refused, for its own reason, and none is executed."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hostile import CORPUS, archives, careless_loader, gadgets, opcodes
from support.hostile.case import Hostile
from weightdock.errors import ExitCode, IntegrityError
from weightdock.safety import gate, texts

_FOREIGN = re.compile(r"protocol [3-5], and torch writes 2|opcode [A-Z0-9_]+\b.*, which torch never writes")
_AT_LEAST = 40
_SECONDS = 5
_MEMORY_BYTES = 64 * 1024 * 1024
_BOMBS = {hostile.name for hostile in (*opcodes.bombs(), *archives.bombs())}


def _refusal(hostile: Hostile, folder: Path) -> IntegrityError:
    canary, path = folder / "canary", folder / hostile.file_name
    path.write_bytes(hostile.build(canary))
    with pytest.raises(IntegrityError) as refused:
        gate.check(path, hostile.framework)
    path.unlink()
    assert not canary.exists()
    return refused.value


@pytest.mark.parametrize("hostile", CORPUS, ids=str)
def test_a_hostile_file_is_refused_for_its_own_reason_and_not_executed(hostile: Hostile, tmp_path: Path) -> None:
    started = time.monotonic()
    error = _refusal(hostile, tmp_path)
    assert time.monotonic() - started < _SECONDS
    assert error.exit_code is ExitCode.INTEGRITY
    assert int(error.exit_code) == 4
    assert error.what.startswith(f"{hostile.file_name} was refused unopened: ")
    # What torch's own unpickler does not read is refused before it is looked at what it would do.
    assert hostile.because in error.what or _FOREIGN.search(error.what)
    assert error.cause
    assert error.next
    # It comes from a stranger and goes to a terminal and a log.
    assert str(error).isascii()
    assert str(error).replace("\n", "").isprintable()
    assert len(str(error)) < 1000


def test_the_corpus_is_as_large_as_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    different = {hostile.build(tmp_path / "canary") for hostile in CORPUS}
    refused = sum(bool(_refusal(hostile, tmp_path)) for hostile in CORPUS)
    assert len({hostile.name for hostile in CORPUS}) == len(CORPUS) == refused
    assert len(different) >= _AT_LEAST
    with capsys.disabled():  # the number is for whoever runs the tests
        print(f"\nsafety: {refused} of {len(CORPUS)} hostile files refused, {len(different)} different; 0 executed")  # noqa: T201


@pytest.mark.parametrize("hostile", [hostile for hostile in CORPUS if hostile.name in _BOMBS], ids=str)
def test_a_bomb_costs_neither_memory_nor_time(hostile: Hostile, tmp_path: Path) -> None:
    path = tmp_path / hostile.file_name
    path.write_bytes(hostile.build(tmp_path / "canary"))
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            gate.check(path, hostile.framework)
        assert tracemalloc.get_traced_memory()[1] < _MEMORY_BYTES
    finally:
        tracemalloc.stop()


def _payloads() -> Iterator[Hostile]:
    """The corpus without those whose pickles are another's."""
    seen = set()
    for hostile in CORPUS:
        if hostile.pickles:
            pickles = tuple(hostile.pickles(Path("canary")))
            if pickles not in seen:
                seen.add(pickles)
                yield hostile


@pytest.mark.parametrize("hostile", list(_payloads()), ids=str)
def test_the_payload_is_real_and_runs_where_a_pickle_is_simply_loaded(hostile: Hostile, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    assert hostile.pickles
    names = []
    for position, content in enumerate(hostile.pickles(canary)):
        (tmp_path / f"{position}.pkl").write_bytes(content)
        names.append(f"{position}.pkl")
    subprocess.run(
        [sys.executable, "-W", "ignore", careless_loader(), *names],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    until = time.monotonic() + _SECONDS  # some payloads start a process and do not wait for it
    while not canary.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert canary.exists()


def test_most_gadgets_of_pythons_own_library_are_proved_real() -> None:
    own = [*gadgets.by_name(), *gadgets.published(), *gadgets.chains()]
    assert sum(hostile.pickles is not None for hostile in own) >= _AT_LEAST


def test_an_architecture_that_is_named_again_and_again_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(texts.ActedOn, "_layers", lambda _self, key, _rows: looked.append(key))
    rows = [[-1, 1, "Conv", [64]]]
    (tmp_path / "model.pt").write_bytes(pickle.dumps([{"head": rows, "backbone": rows} for _ in range(100)], 2))
    gate.check(tmp_path / "model.pt", "ultralytics")
    assert sorted(looked) == ["backbone", "head"]
