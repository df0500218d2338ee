"""The manifest's JSON schema: what is written fits it, and what the reader refuses it refuses as well."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our requirements
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fake_loader import FakeLoader
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, VERDICT, content, digest, entry, judge, spec
from weightdock import events, store
from weightdock.artifact import Digest, Framework, ModelId, Provenance
from weightdock.cache import Cache
from weightdock.errors import StoreError
from weightdock.safety import Verdict
from weightdock.store import manifest
from weightdock.store.manifest import Entry, manifest_key
from weightdock.upload.pipeline import Upload

KEY = manifest_key(PREFIX, TOY)
SCHEMA: dict[str, Any] = json.loads((files(store) / "manifest.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

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
    size_bytes=st.integers(min_value=0),
    sha256=SHA256S.map(Digest),
    provenance=PROVENANCES,
    uploaded=TIMES,
    safety=st.none() | st.builds(Verdict, TEXTS, st.integers(min_value=1), st.lists(TEXTS, max_size=3).map(tuple)),
)


def _problems(document: object) -> list[str]:
    return [f"{problem.json_path}: {problem.message}" for problem in VALIDATOR.iter_errors(document)]


def _is_read(document: object) -> bool:
    """Whether the reader takes it."""
    kept = MemoryStore()
    kept.keep(KEY, json.dumps(document).encode())
    try:
        manifest.read(kept, PREFIX, TOY)
    except StoreError:
        return False
    return True


def _published(prefix: str, framework: Framework, entries: dict[str, Entry]) -> Any:
    kept = MemoryStore()
    manifest.publish(kept, prefix, framework, entries)
    return json.loads(kept.contents()[manifest_key(prefix, framework)])


DOCUMENT = _published(PREFIX, TOY, {"alpha": entry("alpha"), "beta.v2": entry("beta.v2")})


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
    assert _problems(_published(prefix, framework, of_framework)) == []


def test_a_manifest_from_which_every_entry_is_gone_fits_the_schema() -> None:
    kept = MemoryStore()
    manifest.publish(kept, PREFIX, TOY, {"alpha": entry()})
    manifest.publish(kept, PREFIX, TOY, {}, gone=["alpha"])
    assert _problems(json.loads(kept.contents()[KEY])) == []


def test_what_a_run_publishes_fits_the_schema(tmp_path: Path) -> None:
    kept, loader = MemoryStore(), FakeLoader({name: content(name) for name in ("alpha", "beta")})
    upload = Upload(TOY, PREFIX, kept, Cache(tmp_path), loader, events.ignore, judge)
    upload.run(upload.plan([spec("alpha"), spec("beta")]))
    document = json.loads(kept.contents()[KEY])
    assert _problems(document) == []
    assert set(document["models"]) == {"alpha", "beta"}
    age = datetime.now(UTC) - datetime.fromisoformat(document["models"]["alpha"]["uploaded"])
    assert age.total_seconds() < 60


def _changed(**fields: object) -> Any:
    """With these fields of one model; None removes one."""
    document = copy.deepcopy(DOCUMENT)
    model = document["models"]["alpha"]
    for name, value in fields.items():
        if value is None:
            del model[name]
        else:
            model[name] = value
    return document


def _origin(**fields: object) -> Any:
    document = copy.deepcopy(DOCUMENT)
    origin = document["models"]["alpha"]["origin"]
    for name, value in fields.items():
        if value is None:
            del origin[name]
        else:
            origin[name] = value
    return document


def _named(name: str) -> Any:
    model = DOCUMENT["models"]["alpha"] | {"key": f"{PREFIX}/toy/{name}.bin"}
    return DOCUMENT | {"models": {name: model}}


SHA256 = digest(content("alpha")).hex

REFUSED_BY_BOTH: dict[str, object] = {
    "a list": [],
    "a number": 1,
    "a text": "manifest",
    "null": None,
    "empty": {},
    "without schema": {name: DOCUMENT[name] for name in ("framework", "models")},
    "without models": {name: DOCUMENT[name] for name in ("schema", "framework")},
    "a newer schema": DOCUMENT | {"schema": 2},
    "a schema that is a text": DOCUMENT | {"schema": "1"},
    "models as a list": DOCUMENT | {"models": [DOCUMENT["models"]["alpha"]]},
    "models that are null": DOCUMENT | {"models": None},
    "a model that is null": DOCUMENT | {"models": {"alpha": None}},
    "a model that is a text": DOCUMENT | {"models": {"alpha": "key"}},
    "a model that is empty": DOCUMENT | {"models": {"alpha": {}}},
    "a name that climbs out": _named("../alpha"),
    "a name that is hidden": _named(".alpha"),
    "a name with a folder": _named("deep/alpha"),
    "a name without end": _named("a" * 201),
    "an empty name": _named(""),
    "without key": _changed(key=None),
    "a key that is a number": _changed(key=5),
    "a key that is just a file": _changed(key="alpha.bin"),
    "a key below": _changed(key=f"{PREFIX}/toy/alpha.bin/"),
    "a key without extension": _changed(key=f"{PREFIX}/toy/alpha"),
    "a key with an extension in capitals": _changed(key=f"{PREFIX}/toy/alpha.BIN"),
    "a key whose extension is two": _changed(key=f"{PREFIX}/toy/alpha.b-n"),
    "without size": _changed(size=None),
    "a negative size": _changed(size=-1),
    "a size that is a text": _changed(size="20"),
    "a size that is no whole number": _changed(size=20.5),
    "a size that is a truth": _changed(size=True),
    "without sha256": _changed(sha256=None),
    "a digest that is none": _changed(sha256="abc"),
    "a digest that is a number": _changed(sha256=5),
    "a digest in capitals": _changed(sha256=SHA256.upper()),
    "a digest that is too long": _changed(sha256=f"{SHA256}0"),
    "a digest and a new line": _changed(sha256=f"{SHA256}\n"),
    "a digest with its kind": _changed(sha256=f"sha256:{SHA256}"),
    "without origin": _changed(origin=None),
    "an origin that is a text": _changed(origin="https://origin.example"),
    "an origin that is a list": _changed(origin=[]),
    "an origin without url": _origin(url=None),
    "an origin without versions": _origin(versions=None),
    "an origin with something else": _origin(mirror="https://mirror.example"),
    "an origin whose url is a number": _origin(url=5),
    "an origin whose url is none": _origin(url="https://[::1"),
    "an origin whose revision is a number": _origin(revision=1),
    "an origin whose digest is a number": _origin(digest=1),
    "an origin whose licence is a list": _origin(licence=[]),
    "versions that are a text": _origin(versions="1.0"),
    "a version that is a number": _origin(versions={"torch": 2.13}),
    "without a time": _changed(uploaded=None),
    "a verdict that is a text": _changed(safety="safe"),
    "a verdict that is a truth": _changed(safety=True),
    "a verdict that is empty": _changed(safety={}),
    "a verdict without names": _changed(safety={"format": "pickle", "allow_list_version": 1}),
    "a verdict whose names are a text": _changed(
        safety={"format": "pickle", "allow_list_version": 1, "names": "torch"}
    ),
    "a verdict by a list that is a text": _changed(safety={"format": "pickle", "allow_list_version": "1", "names": []}),
    "a verdict of a format that is null": _changed(safety={"format": None, "allow_list_version": 1, "names": []}),
}

# The reader goes by the name of the file for the framework, and leaves what it does not use to a person's eye.
REFUSED_BY_SCHEMA: dict[str, object] = {
    "without framework": {name: DOCUMENT[name] for name in ("schema", "models")},
    "a framework that climbs out": DOCUMENT | {"framework": "../toy"},
    "something else at the top": DOCUMENT | {"comment": "by hand"},
    "something else of a model": _changed(comment="by hand"),
    "a url that is another protocol's": _origin(url="file:///etc/passwd"),
    "a digest of another kind": _origin(digest=f"md5:{'a' * 32}"),
    "a digest of the origin without its kind": _origin(digest=SHA256),
}
TIMES_THAT_ARE_NONE = [
    "yesterday",
    "",
    "2026-11-22",
    "2026-11-22T10:00:00",
    "2026-11-22 10:00:00+00:00",
    "2026-11-22T10:00:00+01:00",
    "2026-13-22T10:00:00+00:00",
    "2026-11-22T24:00:00+00:00",
    "2026-11-22T10:00+00:00",
    "1795341600",
]


@pytest.mark.parametrize("document", REFUSED_BY_BOTH.values(), ids=REFUSED_BY_BOTH.keys())
def test_what_the_reader_refuses_the_schema_refuses(document: object) -> None:
    assert not _is_read(document)
    assert _problems(document) != []


@pytest.mark.parametrize("document", REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA.keys())
def test_the_schema_also_refuses_what_nobody_writes(document: object) -> None:
    assert _problems(document) != []


@pytest.mark.parametrize("uploaded", TIMES_THAT_ARE_NONE)
def test_a_time_is_iso_8601_in_utc(uploaded: str) -> None:
    [problem] = _problems(_changed(uploaded=uploaded))
    assert problem.startswith("$.models.alpha.uploaded: ")


@pytest.mark.parametrize(
    "uploaded", ["2026-11-22T10:00:00+00:00", "2026-11-22T10:00:00.123456+00:00", entry().uploaded]
)
def test_the_times_that_are_written_are_times(uploaded: str) -> None:
    assert _problems(_changed(uploaded=uploaded)) == []


def test_what_only_a_reader_can_compare_it_compares() -> None:
    # A schema cannot say that a key ends with the name that it stands under, or with the manifest's framework.
    for key in (f"{PREFIX}/toy/beta.bin", f"{PREFIX}/timm/alpha.bin"):
        document = _changed(key=key)
        assert (_problems(document), _is_read(document)) == ([], False)


def _paths(part: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(part, dict):
        found += [deeper for name, inner in part.items() for deeper in _paths(inner, (*path, name))]
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.just(0.5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [path for path in _paths(DOCUMENT) if path[-1] != "key"]
"""Every place of a manifest but the keys, which must also fit the names around them."""


@given(path=st.sampled_from(FIELDS), value=JSON, remove=st.booleans())
def test_wherever_a_manifest_is_damaged_what_the_reader_refuses_the_schema_refuses(
    path: tuple[str, ...], value: object, remove: bool
) -> None:
    document = copy.deepcopy(DOCUMENT)
    parent = document
    for name in path[:-1]:
        parent = parent[name]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    if not _is_read(document):
        assert _problems(document) != []


@pytest.mark.parametrize(
    "older",
    [_changed(safety=None), DOCUMENT | {"models": {"alpha": DOCUMENT["models"]["alpha"] | {"safety": None}}}],
    ids=["absent", "null"],
)
def test_an_entry_from_before_the_safety_gate_is_read_and_fits(older: Any) -> None:
    assert (_problems(older), _is_read(older)) == ([], True)


def test_the_entry_and_the_schema_name_the_same_fields() -> None:
    defined = SCHEMA["$defs"]
    assert set(defined["origin"]["properties"]) == set(defined["origin"]["required"]) == set(asdict(entry().provenance))
    assert set(defined["verdict"]["properties"]) == set(defined["verdict"]["required"]) == set(asdict(VERDICT))
    assert set(defined["model"]["properties"]) == set(DOCUMENT["models"]["alpha"])
    assert set(defined["model"]["properties"]) - set(defined["model"]["required"]) == {"safety"}
