"""The manifest's JSON schema: what is written fits it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our requirements
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fake_loader import FakeLoader
from support.manifest_schema import (
    DOCUMENT,
    KEY,
    SCHEMA,
    changed_document,
    is_read,
    problems,
    published_document,
)
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, VERDICT, content, entry, judge, spec
from weightdock import events
from weightdock.artifact import Digest, Framework, ModelId, Provenance
from weightdock.cache import Cache
from weightdock.safety import Verdict
from weightdock.store import manifest
from weightdock.store.manifest import Entry
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload

SHA256S = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)

TEXTS = st.text(max_size=30)

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", fullmatch=True)

FRAMEWORKS = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True).map(Framework)

PREFIXES = st.lists(st.from_regex(r"[A-Za-z0-9 _.+é-]{1,12}", fullmatch=True), min_size=1, max_size=3).map("/".join)

HOSTS = st.sampled_from(["github.com", "huggingface.co", "127.0.0.1:9001", "[::1]:9001", "user:token@mirror.example"])

URLS = st.builds("{}://{}/{}".format, st.sampled_from(["http", "https"]), HOSTS, NAMES)

TIMES = st.datetimes(timezones=st.just(UTC)).flatmap(
    lambda time: st.sampled_from([time.isoformat(), time.isoformat(timespec="seconds")])
)

PROVENANCES = st.builds(
    Provenance,
    url=URLS,
    revision=TEXTS,
    digest=st.just("") | SHA256S.map("sha256:{}".format),
    licence=TEXTS,
    versions=st.dictionaries(TEXTS, TEXTS, max_size=3),
)

ENTRIES = st.builds(
    Entry,
    model=st.builds(ModelId, st.just(TOY), NAMES),
    extension=st.from_regex(r"[a-z0-9]{1,16}", fullmatch=True),
    size_bytes=st.integers(0, 5 << 40),
    sha256=SHA256S.map(Digest),
    provenance=PROVENANCES,
    uploaded=TIMES,
    safety=st.none() | st.builds(Verdict, TEXTS, st.integers(min_value=1), st.lists(TEXTS, max_size=3).map(tuple)),
)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_is_of_the_version_that_is_written() -> None:
    assert SCHEMA["properties"]["schema"]["const"] == manifest.SCHEMA


def test_the_schema_is_packed_with_the_module_that_it_describes() -> None:
    assert Path(manifest.__file__).with_name("manifest.schema.json").is_file()


def test_nothing_in_the_schema_is_open_but_the_names_of_libraries() -> None:
    """Every object that is described says which properties it has, and that it has no others."""

    def described(part: object, path: str) -> Iterator[tuple[str, object]]:
        if isinstance(part, dict):
            if part.get("type") == "object":
                yield path, part.get("additionalProperties", True)
            for name, inner in part.items():
                yield from described(inner, f"{path}/{name}")

    assert dict(described(SCHEMA, "")) == {
        "": False,
        "/properties/models": {"$ref": "#/$defs/model"},
        "/$defs/model": False,
        "/$defs/origin": False,
        "/$defs/origin/properties/versions": {"type": "string"},
        "/$defs/verdict": False,
    }


@given(
    prefix=PREFIXES,
    framework=FRAMEWORKS,
    entries=st.lists(ENTRIES, max_size=4),
)
def test_every_manifest_that_is_published_fits_the_schema(
    prefix: str, framework: Framework, entries: list[Entry]
) -> None:
    of_framework = {one.model.name: replace(one, model=ModelId(framework, one.model.name)) for one in entries}
    assert problems(published_document(prefix, framework, of_framework)) == []


def test_a_manifest_from_which_every_entry_is_gone_fits_the_schema() -> None:
    kept = MemoryStore()
    manifest.publish(kept, PREFIX, TOY, {"alpha": entry()})
    manifest.publish(kept, PREFIX, TOY, {}, gone=manifest.read(kept, PREFIX, TOY).entries)
    assert problems(json.loads(kept.contents()[KEY])) == []


def test_what_a_run_publishes_fits_the_schema(tmp_path: Path) -> None:
    kept, loader = MemoryStore(), FakeLoader({name: content(name) for name in ("alpha", "beta")})
    upload = Upload(Acquire(TOY, Cache(tmp_path), loader, events.ignore, judge), kept, PREFIX)
    upload.run(upload.plan([spec("alpha"), spec("beta")]))
    document = json.loads(kept.contents()[KEY])
    assert problems(document) == []
    assert set(document["models"]) == {"alpha", "beta"}
    age = datetime.now(UTC) - datetime.fromisoformat(document["models"]["alpha"]["uploaded"])
    assert age.total_seconds() < 60


@pytest.mark.parametrize(
    "older",
    [changed_document(safety=None), DOCUMENT | {"models": {"alpha": DOCUMENT["models"]["alpha"] | {"safety": None}}}],
    ids=["absent", "null"],
)
def test_an_entry_from_before_the_safety_gate_is_read_and_fits(older: Any) -> None:
    assert (problems(older), is_read(older)) == ([], True)


def test_the_entry_and_the_schema_name_the_same_fields() -> None:
    defined = SCHEMA["$defs"]
    assert set(defined["origin"]["properties"]) == set(defined["origin"]["required"]) == set(Provenance._fields)
    assert set(defined["verdict"]["properties"]) == set(defined["verdict"]["required"]) == set(asdict(VERDICT))
    assert set(defined["model"]["properties"]) == set(DOCUMENT["models"]["alpha"])
    assert set(defined["model"]["properties"]) - set(defined["model"]["required"]) == {"safety"}
