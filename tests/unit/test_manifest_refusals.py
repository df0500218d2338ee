"""What the reader of manifests refuses its JSON schema refuses as well."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.manifest_schema import (
    DOCUMENT,
    changed_document,
    is_read,
    problems,
)
from support.samples import PREFIX, content, digest, entry


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
    "without key": changed_document(key=None),
    "a key that is a number": changed_document(key=5),
    "a key that is just a file": changed_document(key="alpha.bin"),
    "a key below": changed_document(key=f"{PREFIX}/toy/alpha.bin/"),
    "a key without extension": changed_document(key=f"{PREFIX}/toy/alpha"),
    "a key with an extension in capitals": changed_document(key=f"{PREFIX}/toy/alpha.BIN"),
    "a key whose extension is two": changed_document(key=f"{PREFIX}/toy/alpha.b-n"),
    "without size": changed_document(size=None),
    "a negative size": changed_document(size=-1),
    "a size that no store has": changed_document(size=(5 << 40) + 1),
    "a size of four thousand digits": changed_document(size=10**4000),
    "a size that is a text": changed_document(size="20"),
    "a size that is no whole number": changed_document(size=20.5),
    "a size that is a truth": changed_document(size=True),
    "without sha256": changed_document(sha256=None),
    "a digest that is none": changed_document(sha256="abc"),
    "a digest that is a number": changed_document(sha256=5),
    "a digest in capitals": changed_document(sha256=SHA256.upper()),
    "a digest that is too long": changed_document(sha256=f"{SHA256}0"),
    "a digest and a new line": changed_document(sha256=f"{SHA256}\n"),
    "a digest with its kind": changed_document(sha256=f"sha256:{SHA256}"),
    "without origin": changed_document(origin=None),
    "an origin that is a text": changed_document(origin="https://origin.example"),
    "an origin that is a list": changed_document(origin=[]),
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
    "without a time": changed_document(uploaded=None),
    "a verdict that is a text": changed_document(safety="safe"),
    "a verdict that is a truth": changed_document(safety=True),
    "a verdict that is empty": changed_document(safety={}),
    "a verdict without names": changed_document(safety={"format": "pickle", "allow_list_version": 1}),
    "a verdict whose names are a text": changed_document(
        safety={"format": "pickle", "allow_list_version": 1, "names": "torch"}
    ),
    "a verdict by a list that is a text": changed_document(
        safety={"format": "pickle", "allow_list_version": "1", "names": []}
    ),
    "a verdict of a format that is null": changed_document(
        safety={"format": None, "allow_list_version": 1, "names": []}
    ),
}

# The reader goes by the name of the file for the framework, and leaves what it does not use to a person's eye.
REFUSED_BY_SCHEMA: dict[str, object] = {
    "without framework": {name: DOCUMENT[name] for name in ("schema", "models")},
    "a framework that climbs out": DOCUMENT | {"framework": "../toy"},
    "something else at the top": DOCUMENT | {"comment": "by hand"},
    "something else of a model": changed_document(comment="by hand"),
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
    assert not is_read(document)
    assert problems(document) != []


@pytest.mark.parametrize("document", REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA.keys())
def test_the_schema_also_refuses_what_nobody_writes(document: object) -> None:
    assert problems(document) != []


@pytest.mark.parametrize("uploaded", TIMES_THAT_ARE_NONE)
def test_a_time_is_iso_8601_in_utc(uploaded: str) -> None:
    [problem] = problems(changed_document(uploaded=uploaded))
    assert problem.startswith("$.models.alpha.uploaded: ")


@pytest.mark.parametrize(
    "uploaded", ["2026-11-22T10:00:00+00:00", "2026-11-22T10:00:00.123456+00:00", entry().uploaded]
)
def test_the_times_that_are_written_are_times(uploaded: str) -> None:
    assert problems(changed_document(uploaded=uploaded)) == []


def test_what_only_a_reader_can_compare_it_compares() -> None:
    # A schema cannot say that a key ends with the name that it stands under, or with the manifest's framework.
    for key in (f"{PREFIX}/toy/beta.bin", f"{PREFIX}/timm/alpha.bin"):
        document = changed_document(key=key)
        assert (problems(document), is_read(document)) == ([], False)


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
    if not is_read(document):
        assert problems(document) != []
