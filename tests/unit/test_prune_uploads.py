"""Pruning uploads that nobody ended: by age, as they were listed, and no object with them."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.prune_bench import BEFORE, OLD, YOUNG, Bench, stored_under
from support.samples import PREFIX
from weightdock.artifact import ObjectKey
from weightdock.store import PendingUpload
from weightdock.upkeep import prune


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _pending(name: str, begun: datetime, framework: str = "toy") -> PendingUpload:
    return PendingUpload(ObjectKey(f"{PREFIX}/{framework}/{name}.bin"), f"upload-of-{name}", begun)


def test_uploads_that_nobody_ended_are_found_by_age_whether_their_model_is_registered_or_not(bench: Bench) -> None:
    old = [_pending("alpha", OLD), _pending("nobody's", OLD)]
    others = [_pending("alpha", YOUNG), _pending("alpha", BEFORE), _pending("alpha", OLD, "toys")]
    bench.store.unfinished = [*old, *others]
    found = bench.find()
    assert found.uploads == tuple(old)
    prune.abort(bench.store, found)
    assert bench.store.unfinished == others


def test_removing_objects_ends_no_upload_and_ending_uploads_removes_no_object(bench: Bench) -> None:
    bench.store.unfinished = [_pending("alpha", OLD)]
    found = bench.find()
    prune.abort(bench.store, found)
    assert bench.stored() == stored_under("alpha", "beta", "gamma", "delta")
    bench.store.unfinished = [_pending("alpha", OLD)]
    prune.remove(bench.store, PREFIX, bench.find())
    assert bench.store.unfinished == [_pending("alpha", OLD)]


def test_uploads_that_were_begun_after_the_list_stay(bench: Bench) -> None:
    bench.store.unfinished = [_pending("alpha", OLD)]
    found = bench.find()
    bench.store.unfinished.append(_pending("beta", OLD))
    prune.abort(bench.store, found)
    assert bench.store.unfinished == [_pending("beta", OLD)]
