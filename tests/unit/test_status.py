"""The status: where each model is, as values, as a whole table and as a whole line for machines."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.memory_store import MemoryStore
from support.pages import COMPLETE, MISSING, NOW
from support.samples import PREFIX, TOY, content, digest, entry, spec, tree, verified
from weightdock.artifact import Framework, ModelId
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key
from weightdock.upkeep.status import age, survey, table, to_json

NAMES = ("alpha", "beta", "gamma", "delta")
ALPHA, BETA, GAMMA, DELTA = map(spec, NAMES)
LOCKED = ALPHA._replace(
    locked=Locked(ALPHA.model, "", "https://origin.example/alpha", "r1", 20, digest(content("alpha")), "MIT", {}),
)

EVERYWHERE = replace(COMPLETE, size_bytes=20)
NOWHERE = replace(MISSING, model="toy/delta", task="classify", description="the toy delta", locked=False, ruling="")
LOST = replace(
    EVERYWHERE,
    model="toy/beta",
    description="the toy beta",
    locked=False,
    in_store=False,
    in_cache=False,
    size_bytes=19,
    sha256=digest(content("beta")).hex,
)
UNKNOWN = replace(
    NOWHERE,
    model="toy/gamma",
    description="the toy gamma",
    in_store=True,
    size_bytes=123_456_789,
    licence="",
    ruling="",
)


@pytest.fixture
def store() -> MemoryStore:
    """alpha is there, beta's object was lost, gamma's entry is not there yet, and nobody has heard of delta."""
    store = MemoryStore()
    store.keep(ALPHA.key(PREFIX), content("alpha"))
    store.keep(GAMMA.key(PREFIX), bytes(1000))
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha"), "beta": entry("beta")})
    store.requests.clear()
    return store


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """With alpha in it."""
    cache = Cache(tmp_path / "cache")
    with cache.partial(ALPHA.model) as folder:
        cache.publish(verified(folder / "x"), "bin")
    return cache


def test_where_each_model_is_follows_from_lock_manifest_store_and_cache(store: MemoryStore, cache: Cache) -> None:
    assert survey([LOCKED, BETA, GAMMA, DELTA], PREFIX, store, cache) == (
        EVERYWHERE,
        LOST,
        replace(UNKNOWN, size_bytes=1000),
        NOWHERE,
    )


def test_the_store_is_asked_once_for_each_framework_and_nothing_is_changed(store: MemoryStore, cache: Cache) -> None:
    game = ModelSpec(ModelId(Framework("game"), "alpha"), "bin", "", "play", "a game")
    before = store.contents(), tree(cache.root)
    survey([game, ALPHA, game, BETA], PREFIX, store, cache)
    assert store.requests == [
        f"read_document {manifest_key(PREFIX, Framework('game'))}",
        f"objects {PREFIX}/game/",
        f"read_document {manifest_key(PREFIX, TOY)}",
        f"objects {PREFIX}/toy/",
    ]
    assert (store.contents(), tree(cache.root)) == before


def test_a_manifest_that_says_nothing_is_what_differs_and_ends_no_survey(store: MemoryStore, cache: Cache) -> None:
    store.keep(manifest_key(PREFIX, TOY), b"{not json")
    chess = ALPHA._replace(model=ModelId(Framework("game"), "chess"))
    found = survey([ALPHA, BETA, chess], PREFIX, store, cache)
    why = f"{manifest_key(PREFIX, TOY)} is malformed: JSONDecodeError: "
    assert [(one.model, one.in_store, one.in_cache, one.differs[: len(why)]) for one in found] == [
        ("toy/alpha", True, True, why),
        ("toy/beta", False, False, why),
        ("game/chess", False, False, ""),
    ]
    assert table(found, NOW).splitlines()[5:] == [f"toy/alpha, toy/beta differs: {found[0].differs}"]


def test_a_cache_that_is_not_there_is_not_made(store: MemoryStore, tmp_path: Path) -> None:
    [status] = survey([ALPHA], PREFIX, store, Cache(tmp_path / "nowhere"))
    assert not status.in_cache
    assert not (tmp_path / "nowhere").exists()


def test_a_cached_file_that_changed_is_not_here(store: MemoryStore, cache: Cache) -> None:
    cache.path(ALPHA.model, "bin").write_bytes(b"changed")
    [status] = survey([ALPHA], PREFIX, store, cache)
    assert not status.in_cache


def test_the_size_is_the_manifests_and_else_the_objects(store: MemoryStore, cache: Cache) -> None:
    store.keep(ALPHA.key(PREFIX), b"truncated")
    assert [one.size_bytes for one in survey([ALPHA, GAMMA], PREFIX, store, cache)] == [20, 1000]


def test_what_differs_names_both_values(store: MemoryStore, cache: Cache) -> None:
    other = digest(b"other")
    manifest.publish(store, PREFIX, TOY, {"alpha": replace(entry("alpha"), sha256=other)})
    [on_node] = survey([ALPHA], PREFIX, store, cache)
    assert on_node.differs == f"this machine has sha256 {digest(content('alpha'))}, and the manifest says {other}"
    [in_lock] = survey([LOCKED], PREFIX, store, cache)
    assert in_lock.differs == f"the manifest says sha256 {other}, and models.lock says {digest(content('alpha'))}"
    store.keep(ALPHA.key(PREFIX), b"truncated")
    [in_store] = survey([LOCKED], PREFIX, store, cache)
    assert in_store.differs == "it has 9 bytes, and the manifest says 20"


def test_what_differs_is_told_below_the_table() -> None:
    *_, empty, last = table([replace(EVERYWHERE, differs="one is not the other"), NOWHERE], NOW).splitlines()
    assert (empty, last) == ("", "toy/alpha differs: one is not the other")


def test_a_survey_is_a_row_for_each_model_in_columns() -> None:
    assert table([EVERYWHERE, LOST, UNKNOWN, NOWHERE], NOW) == (
        "MODEL      TASK      LOCK  MANIFEST  R2   HERE      SIZE  SHA256        LICENCE  AGE\n"
        f"toy/alpha  classify  yes   yes       yes  yes     0.0 MB  {EVERYWHERE.sha256[:12]}  MIT      3 d\n"
        f"toy/beta   classify  -     yes       -    -       0.0 MB  {LOST.sha256[:12]}  MIT      3 d\n"
        "toy/gamma  classify  -     -         yes  -     123.5 MB  -             -        -\n"
        "toy/delta  classify  -     -         -    -            -  -             -        -"
    )


def test_a_survey_of_nothing_is_a_header() -> None:
    assert table([], NOW) == "MODEL  TASK  LOCK  MANIFEST  R2  HERE  SIZE  SHA256  LICENCE  AGE"


def test_a_survey_for_machines_is_one_line() -> None:
    line = to_json([EVERYWHERE, NOWHERE])
    assert "\n" not in line
    assert json.loads(line) == {
        "weightdock": 1,
        "event": "status",
        "models": [
            {
                "model": "toy/alpha",
                "task": "classify",
                "description": "the toy alpha",
                "locked": True,
                "in_manifest": True,
                "in_store": True,
                "in_cache": True,
                "differs": "",
                "size_bytes": 20,
                "sha256": digest(content("alpha")).hex,
                "licence": "MIT",
                "ruling": "allowed",
                "uploaded": "2026-11-22T10:00:00+00:00",
            },
            {
                "model": "toy/delta",
                "task": "classify",
                "description": "the toy delta",
                "locked": False,
                "in_manifest": False,
                "in_store": False,
                "in_cache": False,
                "differs": "",
                "size_bytes": None,
                "sha256": "",
                "licence": "",
                "ruling": "",
                "uploaded": "",
            },
        ],
    }
    assert json.loads(to_json([])) == {"weightdock": 1, "event": "status", "models": []}


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(), "0 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=23, minutes=59), "23 h"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=1, hours=23), "1 d"),
        (timedelta(days=400), "400 d"),
        (timedelta(seconds=-5), "0 min"),
        (timedelta(days=-5), "0 min"),
    ],
    ids=str,
)
def test_an_age_is_told_in_the_largest_unit_that_is_whole(passed: timedelta, said: str) -> None:
    assert age(NOW - passed, NOW) == said


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.just(UTC)))
def test_an_age_is_told_across_time_zones(then: datetime, now: datetime) -> None:
    number, unit = age(then, now).split()
    assert int(number) >= 0
    assert unit in ("d", "h", "min")


@pytest.mark.parametrize(
    "uploaded", ["yesterday", "2026-11-22T10:00:00", "2026-11-22", ""], ids=["a word", "no zone", "a day", "nothing"]
)
def test_a_time_in_the_manifest_that_is_none_is_shown_and_never_a_crash(
    store: MemoryStore, cache: Cache, uploaded: str
) -> None:
    document = json.loads(store.contents()[manifest_key(PREFIX, TOY)])
    document["models"]["alpha"]["uploaded"] = uploaded
    store.keep(manifest_key(PREFIX, TOY), json.dumps(document).encode())
    shown = table(survey([ALPHA], PREFIX, store, cache), NOW)
    assert shown.splitlines()[1].startswith("toy/alpha  classify  -     -         yes  yes ")
    assert "malformed" in shown
