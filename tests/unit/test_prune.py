"""Pruning: what nothing reaches and is old enough goes, exactly as it was listed, and its entry before it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.memory_store import MemoryStore
from support.prune_bench import BEFORE, MANIFEST, NOW, OLD, YOUNG, Bench, stored_under
from support.samples import PREFIX, TOY, content, entry, key_of, rows, spec
from weightdock.artifact import Framework, ObjectKey
from weightdock.errors import ExitCode, StoreError
from weightdock.report import Outcome
from weightdock.store import StoredObject, manifest
from weightdock.upkeep import prune
from weightdock.upkeep.prune import Prunable

REFUSAL = StoreError("the store did not do it", cause="it is tired", next="run again")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_no_model_has_and_is_old_enough_is_found_and_nothing_is_changed(bench: Bench) -> None:
    before = bench.store.contents()
    found = bench.find()
    assert found.framework == TOY
    assert [one.key for one in found.objects] == [key_of("beta"), key_of("gamma")]
    assert set(found.entries) == {"beta"}
    assert bench.store.contents() == before
    assert bench.store.requests == [
        f"read_document {MANIFEST}",
        f"objects {PREFIX}/toy/",
        f"pending {PREFIX}/toy/",
    ]


def test_what_would_be_removed_is_a_row_each(bench: Bench) -> None:
    report = prune.listed(bench.find())
    assert rows(report) == [
        (f"toy/{name}", key_of(name), Outcome.REMOVABLE, len(content(name)), None, "", "") for name in ("beta", "gamma")
    ]
    assert (report.exit_code, report.has_work) == (ExitCode.DONE, False)
    assert bench.stored() == stored_under("alpha", "beta", "gamma", "delta")


def test_what_was_listed_is_removed_and_nothing_else(bench: Bench) -> None:
    found = bench.find()
    assert rows(prune.remove(bench.store, PREFIX, found)) == [
        (f"toy/{name}", key_of(name), Outcome.REMOVED, len(content(name)), None, "", "") for name in ("beta", "gamma")
    ]
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "delta"), {"alpha", "delta"})
    again = bench.find()
    assert (again.objects, again.entries) == ((), {})


def test_what_was_replaced_since_it_was_listed_keeps_its_entry_too(bench: Bench) -> None:
    found = bench.find()
    new = b"of a newer catalogue"
    bench.store.keep(key_of("beta"), new, modified=NOW)
    manifest.publish(bench.store, PREFIX, TOY, {"beta": entry("beta", new)})
    assert [one.outcome for one in prune.remove(bench.store, PREFIX, found).results] == [
        Outcome.DIFFERS,
        Outcome.REMOVED,
    ]
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "beta", "delta"), {"alpha", "beta", "delta"})


def test_what_was_published_again_since_it_was_listed_stays_though_its_bytes_are_the_same(bench: Bench) -> None:
    found = bench.find()
    manifest.publish(bench.store, PREFIX, TOY, {"beta": replace(entry("beta"), uploaded="2026-11-22T09:00:00+00:00")})
    prune.remove(bench.store, PREFIX, found)
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "beta", "delta"), {"alpha", "beta", "delta"})


def test_an_entry_leaves_the_manifest_before_its_object_goes(bench: Bench) -> None:
    found = bench.find()
    bench.store.requests.clear()
    prune.remove(bench.store, PREFIX, found)
    assert bench.store.requests == [
        f"read_document {MANIFEST}",
        f"write_document {MANIFEST}",
        f"delete {key_of('beta')}",
        f"delete {key_of('gamma')}",
    ]


def test_where_the_manifest_cannot_be_published_no_object_goes(bench: Bench) -> None:
    found = bench.find()
    bench.store.refusals[f"write_document {MANIFEST}"] = REFUSAL
    with pytest.raises(StoreError):
        prune.remove(bench.store, PREFIX, found)
    assert bench.stored() == stored_under("alpha", "beta", "gamma", "delta")
    assert bench.published() == {"alpha", "beta", "delta"}


def test_a_run_that_ends_half_way_is_finished_by_the_next(bench: Bench) -> None:
    found = bench.find()
    bench.store.refusals[f"delete {key_of('gamma')}"] = REFUSAL
    with pytest.raises(StoreError):
        prune.remove(bench.store, PREFIX, found)
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "gamma", "delta"), {"alpha", "delta"})
    bench.store.refusals.clear()
    prune.remove(bench.store, PREFIX, bench.find())
    assert bench.stored() == stored_under("alpha", "delta")


def test_what_was_adopted_since_it_was_listed_stays_though_none_of_the_listed_had_an_entry(bench: Bench) -> None:
    prune.remove(bench.store, PREFIX, bench.find())
    bench.store.keep(key_of("gamma"), content("gamma"), modified=OLD)
    found = bench.find()
    manifest.publish(bench.store, PREFIX, TOY, {"gamma": entry("gamma")})
    assert [one.outcome for one in prune.remove(bench.store, PREFIX, found).results] == [Outcome.DIFFERS]
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "gamma", "delta"), {"alpha", "gamma", "delta"})


def test_without_entries_to_drop_the_manifest_is_only_read(bench: Bench) -> None:
    prune.remove(bench.store, PREFIX, bench.find())
    bench.store.keep(key_of("epsilon"), b"old and unknown", modified=OLD)
    found = bench.find()
    bench.store.requests.clear()
    prune.remove(bench.store, PREFIX, found)
    assert bench.store.requests == [f"read_document {MANIFEST}", f"delete {key_of('epsilon')}"]


def test_where_nothing_is_in_vain_nothing_is_asked(bench: Bench) -> None:
    nothing = bench.find(before=OLD)
    bench.store.requests.clear()
    assert (prune.listed(nothing).results, prune.remove(bench.store, PREFIX, nothing).results) == ((), ())
    prune.abort(bench.store, nothing)
    assert bench.store.requests == []


def test_an_object_that_changed_since_it_was_listed_stays(bench: Bench) -> None:
    found = bench.find()
    bench.store.keep(key_of("beta"), b"somebody put it there a moment ago", modified=NOW)
    report = prune.remove(bench.store, PREFIX, found)
    assert [(one.key, one.outcome) for one in report.results] == [
        (key_of("beta"), Outcome.DIFFERS),
        (key_of("gamma"), Outcome.REMOVED),
    ]
    assert bench.stored() == stored_under("alpha", "beta", "delta")


def test_an_object_that_is_gone_already_is_no_failure(bench: Bench) -> None:
    found = bench.find()
    bench.store.lose(key_of("gamma"))
    assert prune.remove(bench.store, PREFIX, found).exit_code is ExitCode.DONE
    assert bench.stored() == stored_under("alpha", "delta")


def test_what_came_after_the_list_stays(bench: Bench) -> None:
    found = bench.find()
    bench.store.keep(key_of("later"), b"nobody listed it", modified=OLD)
    manifest.publish(bench.store, PREFIX, TOY, {"later": entry("later")})
    prune.remove(bench.store, PREFIX, found)
    assert (bench.stored(), bench.published()) == (stored_under("alpha", "delta", "later"), {"alpha", "delta", "later"})


def test_an_entry_that_somebody_else_adds_meanwhile_is_kept(bench: Bench) -> None:
    found = bench.find()
    manifest.publish(bench.store, PREFIX, TOY, {"theirs": entry("theirs")})
    prune.remove(bench.store, PREFIX, found)
    assert bench.published() == {"alpha", "delta", "theirs"}


@pytest.mark.parametrize(("modified", "goes"), [(OLD, True), (BEFORE, False), (YOUNG, False), (None, False)])
def test_what_is_younger_than_the_grace_period_or_of_no_known_age_stays(
    bench: Bench, modified: datetime | None, goes: bool
) -> None:
    bench.store.keep(key_of("epsilon"), b"?", modified=modified)
    assert (key_of("epsilon") in [one.key for one in bench.find().objects]) is goes


@pytest.mark.parametrize(("days", "period"), [(7, timedelta(days=7)), (0, timedelta()), (0.5, timedelta(hours=12))])
def test_the_grace_period_is_in_days(days: float, period: timedelta) -> None:
    assert prune.grace(days, NOW) == NOW - period


def test_other_frameworks_and_other_prefixes_are_not_looked_at(bench: Bench) -> None:
    for key in (f"{PREFIX}/toys/x.bin", f"{PREFIX}/timm/x.pth", "elsewhere/toy/x.bin", f"{PREFIX}/toy.bin"):
        bench.store.keep(ObjectKey(key), b"of somebody else", modified=OLD)
    before = bench.stored()
    found = bench.find()
    assert [one.key for one in found.objects] == [key_of("beta"), key_of("gamma")]
    prune.remove(bench.store, PREFIX, found)
    assert before - bench.stored() == {key_of("beta"), key_of("gamma")}


def test_every_object_that_no_model_has_goes_whatever_its_name(bench: Bench) -> None:
    odd = [f"{PREFIX}/toy/{name}" for name in ("README", "deep/er/x.bin", "é+& x.bin", ".hidden", "alpha.bin.bak", "-")]
    for key in odd:
        bench.store.keep(ObjectKey(key), b"?", modified=OLD)
    found = bench.find()
    report = prune.remove(bench.store, PREFIX, found)
    assert {one.key for one in report.results} == {key_of("beta"), key_of("gamma"), *odd}
    assert bench.stored() == stored_under("alpha", "delta")


AGES = st.sampled_from([OLD, BEFORE, YOUNG, None])


@given(
    ages=st.dictionaries(st.sampled_from("abcdefgh"), AGES),
    registered=st.sets(st.sampled_from("abcdefgh")),
    published=st.sets(st.sampled_from("abcdefgh")),
    meanwhile=st.sets(st.sampled_from("abcdefgh")),
)
def test_whatever_is_there_only_what_was_listed_goes_and_no_entry_is_left_without_its_object(
    ages: dict[str, datetime | None], registered: set[str], published: set[str], meanwhile: set[str]
) -> None:
    store = MemoryStore()
    manifest.publish(store, PREFIX, TOY, {name: entry(name) for name in published & ages.keys()})
    for name, modified in ages.items():
        store.keep(key_of(name), content(name), modified=modified)
    found = prune.find(store, PREFIX, TOY, [spec(name) for name in sorted(registered)], BEFORE)
    listed = {one.key for one in prune.listed(found).results}
    assert listed == {key_of(name) for name, modified in ages.items() if name not in registered and modified == OLD}
    for name in meanwhile:
        store.keep(key_of(name), b"put there meanwhile", modified=NOW)
    prune.remove(store, PREFIX, found)
    wanted = {key_of(name) for name in meanwhile | ages.keys()} - (listed - {key_of(name) for name in meanwhile})
    assert set(store.contents()) - {MANIFEST} == wanted
    left = json.loads(store.contents().get(MANIFEST, b'{"models": {}}'))["models"]
    assert {one["key"] for one in left.values()} <= wanted


def test_what_is_listed_is_of_one_framework(bench: Bench) -> None:
    game = prune.find(bench.store, PREFIX, Framework("game"), [], BEFORE)
    assert game == Prunable(Framework("game"), (), {}, ())


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("a" * 150 + "\n" + "b" * 150, "a" * 150 + "b" * 50),
        ("-.é_c d", "cd"),
        ("\N{SNOWMAN}", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_an_object_is_listed_under_the_nearest_thing_to_a_name(bench: Bench, stem: str, name: str) -> None:
    key = ObjectKey(f"{PREFIX}/toy/{stem}.bin")
    bench.store.keep(key, b"somebody's", modified=OLD)
    listed = {one.key: str(one.model) for one in prune.listed(bench.find()).results}
    assert listed[key] == f"toy/{name}"


def test_an_object_is_removed_only_as_it_was_found(bench: Bench) -> None:
    elsewhere = StoredObject(key_of("beta"), 1, '"another version"', modified=OLD)
    prune.remove(bench.store, PREFIX, Prunable(TOY, (elsewhere,), {}, ()))
    assert bench.stored() == stored_under("alpha", "beta", "gamma", "delta")
