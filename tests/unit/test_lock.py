"""models.lock as a text: what is written, read back and refused."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.lock_samples import home_of, locked_toy
from support.samples import TOY, content, digest
from weightdock import catalogue
from weightdock.artifact import LARGEST_OBJECT_BYTES, Digest, ModelId
from weightdock.catalogue import ModelSpec, lock, models_file
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, ExitCode

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)

TEXTS = st.text(max_size=20) | st.text('"\\\x00\x1f\x7f\x85\u2028\t\r\n#={}[].', max_size=8)

LOCKS = st.lists(
    st.builds(
        Locked,
        model=st.builds(ModelId, st.just(TOY), NAMES),
        asset=TEXTS,
        url=TEXTS,
        revision=TEXTS,
        size_bytes=st.integers(min_value=0, max_value=LARGEST_OBJECT_BYTES),
        sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(Digest),
        licence=TEXTS,
        versions=st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    max_size=4,
    unique_by=lambda one: one.model,
)


# The file


def test_a_lock_looks_like_this() -> None:
    beta = locked_toy("beta")._replace(asset="chatty", versions={"toy": "1.0", "abacus": "2"})
    text = f"""\
{{
 "schema": 1,
 "models": {{
  "a.v2": {{
   "asset": "",
   "url": "https://origin.example/a.v2.bin",
   "revision": "r1",
   "size": 19,
   "sha256": "{digest(content("a.v2"))}",
   "licence": "MIT \\"or so\\"",
   "versions": {{
    "toy": "1.0"
   }}
  }},
  "beta": {{
   "asset": "chatty",
   "url": "https://origin.example/beta.bin",
   "revision": "r1",
   "size": 19,
   "sha256": "{digest(content("beta"))}",
   "licence": "MIT",
   "versions": {{
    "abacus": "2",
    "toy": "1.0"
   }}
  }}
 }}
}}
"""
    assert lock.render([beta, locked_toy("a.v2")._replace(licence='MIT "or so"')]) == text


@given(LOCKS)
@hypothesis.settings(report_multiple_bugs=False)
def test_what_was_locked_reads_back_as_itself_whatever_the_texts(locked: list[Locked]) -> None:
    with TemporaryDirectory() as folder:
        home = home_of(Path(folder), locked=locked)
        assert lock.read(TOY, home) == {one.model.name: one for one in locked}


@pytest.mark.parametrize(
    "text", ["", " ", "a.b", "a b", "é", '"', "\\", "\n", "\t", "\x00", "\x7f", "\u2028", "[x]", "#"]
)
def test_odd_texts_are_texts(tmp_path: Path, text: str) -> None:
    odd = locked_toy()._replace(asset=text, url=text, revision=text, licence=text, versions={"toy": text})
    assert lock.read(TOY, home_of(tmp_path, locked=[odd])) == {"alpha": odd}


@pytest.mark.parametrize("library", ["", "ruamel.yaml", "a b", "é", '"', "\n", "\x7f", "#"])
def test_odd_names_of_libraries_are_names(tmp_path: Path, library: str) -> None:
    odd = locked_toy()._replace(versions={library: "1.0", "toy": "2.0"})
    assert lock.read(TOY, home_of(tmp_path, locked=[odd])) == {"alpha": odd}


@given(LOCKS.flatmap(lambda locked: st.tuples(st.just(locked), st.permutations(locked))))
def test_a_lock_has_one_text_whatever_the_order_in_which_the_origin_was_asked(
    orders: tuple[list[Locked], list[Locked]],
) -> None:
    locked, shuffled = orders
    again = [one._replace(versions=dict(sorted(one.versions.items(), reverse=True))) for one in shuffled]
    assert lock.render(locked) == lock.render(again)


def test_a_lock_changes_by_the_lines_of_what_changed() -> None:
    before = lock.render([locked_toy("alpha"), locked_toy("beta"), locked_toy("gamma")]).splitlines()
    after = lock.render([locked_toy("gamma"), locked_toy("beta", b"new"), locked_toy("alpha")]).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ('   "size": 19,', '   "size": 3,'),
        (f'   "sha256": "{digest(content("beta"))}",', f'   "sha256": "{digest(b"new")}",'),
    ]


def test_a_lock_of_nothing_is_a_lock(tmp_path: Path) -> None:
    text = lock.render([])
    assert json.loads(text) == {"schema": 1, "models": {}}
    assert text.endswith("\n")
    assert lock.read(TOY, home_of(tmp_path, locked=[])) == {}


def test_where_there_is_no_lock_nothing_is_locked(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    assert lock.read(TOY, home) == {}
    assert catalogue.load(TOY, home) == (ModelSpec(ModelId(TOY, "alpha"), "bin", "", "classify", "the toy alpha"),)


GOOD = lock.render([locked_toy()])

TEXTS_WANTED = "TypeError: alpha: asset, url, revision, licence and versions are texts"

NUMBERS_WANTED = "TypeError: alpha: size is a number and versions a table"

NO_SHA256 = "'abc' is not a sha256"


def _with(**fields: object) -> str:
    """A lock of alpha with other fields; without those that are None."""
    document = json.loads(GOOD)
    changed = {**document["models"]["alpha"], **fields}
    document["models"]["alpha"] = {name: value for name, value in changed.items() if value is not None}
    return json.dumps(document)


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "no JSON": (GOOD.replace('"schema": 1', '"schema" 1'), "Expecting ':' delimiter: line 2 column 11 (char 12)"),
    "no text": (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    "nested too deep": (
        "[" * 100_000,
        "maximum recursion depth exceeded while decoding a JSON array from a unicode string",
    ),
    "a model twice": ('{"schema": 1, "models": {"alpha": 1, "alpha": 2}}', "'alpha' stands there twice"),
    "a field twice": ('{"schema": 1, "models": {"alpha": {"size": 1, "size": 2}}}', "'size' stands there twice"),
    "empty": ("", "Expecting value: line 1 column 1 (char 0)"),
    "a list": ("[]", "its schema is None, and this weightdock reads 1"),
    "no schema": ('{"models": {}}', "its schema is None, and this weightdock reads 1"),
    "a newer schema": ('{"schema": 2}', "its schema is 2, and this weightdock reads 1"),
    "a schema that is a text": ('{"schema": "1"}', "its schema is '1', and this weightdock reads 1"),
    "no models": ('{"schema": 1}', "KeyError: 'models'"),
    "models that are a list": (
        '{"schema": 1, "models": []}',
        "AttributeError: 'list' object has no attribute 'items'",
    ),
    "a model that is a text": (
        '{"schema": 1, "models": {"alpha": "a"}}',
        "TypeError: string indices must be integers, not 'str'",
    ),
    "a model that climbs out": (
        GOOD.replace('"alpha"', '"../alpha"'),
        "toy/../alpha is not a model name",
    ),
    "without size": (_with(size=None), "KeyError: 'size'"),
    "without sha256": (_with(sha256=None), "KeyError: 'sha256'"),
    "without url": (_with(url=None), "KeyError: 'url'"),
    "without versions": (_with(versions=None), "KeyError: 'versions'"),
    "a size that is a text": (_with(size="20"), NUMBERS_WANTED),
    "a size that is a truth": (_with(size=True), NUMBERS_WANTED),
    "a size that no object has": (_with(size=10**400), NUMBERS_WANTED),
    "a size that is no whole number": (_with(size=20.0), NUMBERS_WANTED),
    "versions that are a text": (_with(versions="1.0"), NUMBERS_WANTED),
    "a version that is a number": (_with(versions={"toy": 1.0}), TEXTS_WANTED),
    "a revision that is a number": (_with(revision=1), TEXTS_WANTED),
    "a sha256 that is none": (_with(sha256="abc"), NO_SHA256),
}


@pytest.mark.parametrize(("text", "cause"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_lock_is_refused_and_named(tmp_path: Path, text: str | bytes, cause: str) -> None:
    home = home_of(tmp_path, locked=text)
    for read in (lock.read, catalogue.load):
        with pytest.raises(ConfigurationError) as refused:
            read(TOY, home)
        next = "update weightdock here" if "schema is 2" in cause else "make lock"  # which would undo a newer one's
        assert str(refused.value) == (
            f"error: {home / 'toy' / 'models.lock'} is malformed\ncause: {cause}\nnext: {next}"
        )
        assert refused.value.exit_code is ExitCode.USAGE


def test_a_folder_in_its_place_is_no_lock_and_no_catalogue(tmp_path: Path) -> None:
    home = home_of(tmp_path, locked="")
    for name in ("models.lock", "models.toml"):
        (home / "toy" / name).unlink()
        (home / "toy" / name).mkdir()
    for read in (lock.read, models_file.read):
        with pytest.raises(ConfigurationError, match="is malformed") as refused:
            read(TOY, home)
        assert "Is a directory" in refused.value.cause


def test_a_negative_size_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        lock.read(TOY, home_of(tmp_path, locked=_with(size=-20)))
