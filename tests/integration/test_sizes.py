"""Whatever a file's size, R2 takes it in the parts that it demands, and a node gets the same bytes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.errand import Errand
from support.r2_bench import Bench
from support.samples import TOY, key_of
from support.upload_scene import Scene
from weightdock.store import multipart, r2

SINGLE_PUT_BYTES, PART_BYTES = 20_000, 10_000
MOST_PARTS = 7
NEAR = st.integers(2, MOST_PARTS).flatmap(lambda parts: st.integers(parts * PART_BYTES - 2, parts * PART_BYTES + 2))


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2, "SINGLE_PUT_BYTES", SINGLE_PUT_BYTES)
    monkeypatch.setattr(multipart, "SINGLE_PUT_BYTES", SINGLE_PUT_BYTES)
    monkeypatch.setattr(multipart, "PART_BYTES", PART_BYTES)


@given(size=NEAR | st.integers(0, MOST_PARTS * PART_BYTES))
@example(size=0)
@example(size=1)
@example(size=SINGLE_PUT_BYTES)
@example(size=SINGLE_PUT_BYTES + 1)
@example(size=3 * PART_BYTES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each has its own bucket
def test_a_file_of_any_size_is_one_put_or_equal_parts_and_comes_back_as_it_was(
    quick_r2: Bench, tmp_path: Path, size: int
) -> None:
    quick_r2.double.record.clear()
    errand = Errand(Scene(quick_r2, tmp_path, {"model": size})).again()
    assert errand.upload().exit_code == 0
    errand.scene.assert_whole()
    puts = errand.scene.requests("model", "PutObject")
    parts = sorted(errand.scene.requests("model", "UploadPart"), key=lambda one: one.part or 0)
    if size <= SINGLE_PUT_BYTES:
        assert ([one.bytes_in for one in puts], parts) == ([size], [])
    else:
        *equal, last = [one.bytes_in for one in parts]
        assert puts == []
        assert set(equal) == {PART_BYTES}
        assert 0 < last <= PART_BYTES
        assert sum(equal) + last == size
    assert errand.fetch().exit_code == 0
    assert (errand.node / TOY / "model.bin").read_bytes() == errand.loader.files["model"]
    assert errand.scene.bench.content(key_of("model")) == errand.loader.files["model"]
