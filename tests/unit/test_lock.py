"""``models.lock``: what it looks like, what is refused of it, how patterns expand by it, and what it forbids."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fake_loader import FakeLoader
from support.memory_store import MemoryStore
from support.samples import ORIGIN, PREFIX, TOY, content, digest, judge, key_of, spec, tree
from weightdock import catalogue, events, settings
from weightdock.artifact import Digest, ModelId
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec, lock
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, ExitCode, IntegrityError, OriginError
from weightdock.origins import AcquiredFile
from weightdock.origins.child import OriginProcess
from weightdock.report import Outcome, RunReport
from weightdock.store import BytesObserver, ObjectStore, manifest
from weightdock.store.manifest import manifest_key
from weightdock.upload.acquire import Loader
from weightdock.upload.locking import lock_models
from weightdock.upload.pipeline import Upload

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)
TEXTS = st.text(max_size=20) | st.text('"\\\x00\x1f\x7f\x85\u2028\t\r\n#={}[].', max_size=8)
LOCKS = st.lists(
    st.builds(
        Locked,
        model=st.builds(ModelId, st.just(TOY), NAMES),
        asset=TEXTS,
        url=TEXTS,
        revision=TEXTS,
        size_bytes=st.integers(min_value=0, max_value=2**63 - 1),
        sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(Digest),
        licence=TEXTS,
        versions=st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    max_size=4,
    unique_by=lambda one: one.model,
)

MODELS = """\
extension = "bin"

[models.alpha]
task = "classify"
description = "the toy alpha"
"""
PATTERN = """\

[models."convnext_*"]
task = "classify"
description = "all of them"
"""


def _locked(name: str = "alpha", weights: bytes | None = None) -> Locked:
    """What a lock says of a model; of others than ``content(name)`` where ``weights`` are given."""
    weights = content(name) if weights is None else weights
    url, versions = f"{ORIGIN}/{name}.bin", {"toy": "1.0"}
    return Locked(ModelId(TOY, name), "", url, "r1", len(weights), digest(weights), "MIT", versions)


def _home(folder: Path, models: str = MODELS, locked: Sequence[Locked] | str | bytes | None = None) -> Path:
    """A catalogue of the toy alone."""
    home = folder / "catalogue"
    (home / "toy").mkdir(parents=True)
    (home / "toy" / "models.toml").write_text(models, encoding="utf-8")
    if locked is not None:
        text = locked if isinstance(locked, str | bytes) else lock.render(locked)
        lock.lock_path(TOY, home).write_bytes(text if isinstance(text, bytes) else text.encode())
    return home


def _names(home: Path) -> list[str]:
    return [one.model.name for one in catalogue.load(TOY, home)]


# The file


def test_a_lock_looks_like_this() -> None:
    beta = replace(_locked("beta"), asset="chatty", versions={"toy": "1.0", "abacus": "2"})
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
    assert lock.render([beta, replace(_locked("a.v2"), licence='MIT "or so"')]) == text


@given(LOCKS)
@hypothesis.settings(report_multiple_bugs=False)
def test_what_was_locked_reads_back_as_itself_whatever_the_texts(locked: list[Locked]) -> None:
    with TemporaryDirectory() as folder:
        home = _home(Path(folder), locked=locked)
        assert lock.read(TOY, home) == {one.model.name: one for one in locked}


@pytest.mark.parametrize(
    "text", ["", " ", "a.b", "a b", "é", '"', "\\", "\n", "\t", "\x00", "\x7f", "\u2028", "[x]", "#"]
)
def test_odd_texts_are_texts(tmp_path: Path, text: str) -> None:
    odd = replace(_locked(), asset=text, url=text, revision=text, licence=text, versions={"toy": text})
    assert lock.read(TOY, _home(tmp_path, locked=[odd])) == {"alpha": odd}


@pytest.mark.parametrize("library", ["", "ruamel.yaml", "a b", "é", '"', "\n", "\x7f", "#"])
def test_odd_names_of_libraries_are_names(tmp_path: Path, library: str) -> None:
    odd = replace(_locked(), versions={library: "1.0", "toy": "2.0"})
    assert lock.read(TOY, _home(tmp_path, locked=[odd])) == {"alpha": odd}


@given(LOCKS.flatmap(lambda locked: st.tuples(st.just(locked), st.permutations(locked))))
def test_a_lock_has_one_text_whatever_the_order_in_which_the_origin_was_asked(
    orders: tuple[list[Locked], list[Locked]],
) -> None:
    locked, shuffled = orders
    again = [replace(one, versions=dict(sorted(one.versions.items(), reverse=True))) for one in shuffled]
    assert lock.render(locked) == lock.render(again)


def test_a_lock_changes_by_the_lines_of_what_changed() -> None:
    before = lock.render([_locked("alpha"), _locked("beta"), _locked("gamma")]).splitlines()
    after = lock.render([_locked("gamma"), _locked("beta", b"new"), _locked("alpha")]).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [
        ('   "size": 19,', '   "size": 3,'),
        (f'   "sha256": "{digest(content("beta"))}",', f'   "sha256": "{digest(b"new")}",'),
    ]


def test_a_lock_of_nothing_is_a_lock(tmp_path: Path) -> None:
    text = lock.render([])
    assert json.loads(text) == {"schema": 1, "models": {}}
    assert text.endswith("\n")
    assert lock.read(TOY, _home(tmp_path, locked=[])) == {}


def test_where_there_is_no_lock_nothing_is_locked(tmp_path: Path) -> None:
    home = _home(tmp_path)
    assert lock.read(TOY, home) == {}
    assert catalogue.load(TOY, home) == (ModelSpec(ModelId(TOY, "alpha"), "bin", "", "classify", "the toy alpha"),)


GOOD = lock.render([_locked()])
TEXTS_WANTED = "TypeError: alpha: asset, url, revision, licence and versions are texts"
NUMBERS_WANTED = "TypeError: alpha: size is a number and versions a table"
NO_SHA256 = "IntegrityError: error: 'abc' is not a sha256"


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
        "ConfigurationError: error: toy/../alpha is not a model name",
    ),
    "without size": (_with(size=None), "KeyError: 'size'"),
    "without sha256": (_with(sha256=None), "KeyError: 'sha256'"),
    "without url": (_with(url=None), "KeyError: 'url'"),
    "without versions": (_with(versions=None), "KeyError: 'versions'"),
    "a size that is a text": (_with(size="20"), NUMBERS_WANTED),
    "a size that is a truth": (_with(size=True), NUMBERS_WANTED),
    "a size that is no whole number": (_with(size=20.0), NUMBERS_WANTED),
    "versions that are a text": (_with(versions="1.0"), NUMBERS_WANTED),
    "a version that is a number": (_with(versions={"toy": 1.0}), TEXTS_WANTED),
    "a revision that is a number": (_with(revision=1), TEXTS_WANTED),
    "a sha256 that is none": (_with(sha256="abc"), NO_SHA256),
}


@pytest.mark.parametrize(("text", "cause"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_lock_is_refused_and_named(tmp_path: Path, text: str | bytes, cause: str) -> None:
    home = _home(tmp_path, locked=text)
    for read in (lock.read, catalogue.load):
        with pytest.raises(ConfigurationError) as refused:
            read(TOY, home)
        assert str(refused.value) == (
            f"error: {home / 'toy' / 'models.lock'} is malformed\ncause: {cause}\nnext: make lock"
        )
        assert refused.value.exit_code is ExitCode.USAGE


def test_a_negative_size_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        lock.read(TOY, _home(tmp_path, locked=_with(size=-20)))


# Patterns


def test_a_model_knows_what_the_lock_says_of_it(tmp_path: Path) -> None:
    locked = _locked("alpha")
    [known] = catalogue.load(TOY, _home(tmp_path, locked=[locked, _locked("not-registered")]))
    assert known == replace(spec("alpha"), locked=locked)


def test_a_pattern_stands_for_what_the_lock_has(tmp_path: Path) -> None:
    names = ["convnext_tiny", "alpha", "convnext_base.fb", "vit_base", "convnext"]
    specs = catalogue.load(TOY, _home(tmp_path, MODELS + PATTERN, [_locked(name) for name in names]))
    assert specs == (
        replace(spec("alpha"), locked=_locked("alpha")),
        *(
            ModelSpec(ModelId(TOY, name), "bin", "", "classify", "all of them", _locked(name))
            for name in ("convnext_base.fb", "convnext_tiny")
        ),
    )


@pytest.mark.parametrize("explicit_first", [True, False])
def test_a_model_that_is_registered_by_name_is_what_it_is_registered_as(tmp_path: Path, explicit_first: bool) -> None:
    tiny = '\n[models.convnext_tiny]\ntask = "segment"\ndescription = "ours"\nasset = "tiny.bin"\n'
    models = tiny + PATTERN if explicit_first else PATTERN + tiny
    locked = [_locked("convnext_base"), _locked("convnext_tiny")]
    home = _home(tmp_path, f'extension = "bin"\n{models}', locked)
    by_name = {one.model.name: (one.task, one.description, one.asset) for one in catalogue.load(TOY, home)}
    assert by_name == {
        "convnext_tiny": ("segment", "ours", "tiny.bin"),
        "convnext_base": ("classify", "all of them", ""),
    }
    assert len(catalogue.load(TOY, home)) == 2


def test_a_model_of_two_patterns_is_one_model_and_the_firsts(tmp_path: Path) -> None:
    narrow = PATTERN.replace("convnext_*", "convnext_t*").replace("all of them", "the tiny ones")
    home = _home(tmp_path, f'extension = "bin"\n{narrow}{PATTERN}', [_locked("convnext_tiny"), _locked("convnext_xl")])
    assert [(one.model.name, one.description) for one in catalogue.load(TOY, home)] == [
        ("convnext_tiny", "the tiny ones"),
        ("convnext_xl", "all of them"),
    ]


@pytest.mark.parametrize("glob", ["convnext_*", "convnext_t?ny", "convnext_[st]*"])
def test_patterns_are_globs(tmp_path: Path, glob: str) -> None:
    models = MODELS + PATTERN.replace("convnext_*", glob)
    assert "convnext_tiny" in _names(_home(tmp_path, models, [_locked("convnext_tiny"), _locked("vit")]))


def test_models_of_a_pattern_can_be_chosen_like_all_others(tmp_path: Path) -> None:
    home = _home(tmp_path, MODELS + PATTERN, [_locked("convnext_tiny"), _locked("convnext_base")])
    assert [one.model.name for one in catalogue.select(["toy/convnext_b*"], home=home)] == ["convnext_base"]


@pytest.mark.parametrize("locked", [None, []], ids=["no lock", "an empty lock"])
def test_a_pattern_without_a_lock_is_refused_rather_than_nothing(tmp_path: Path, locked: list[Locked] | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, _home(tmp_path, MODELS + PATTERN, locked))
    assert str(refused.value) == (
        "error: the pattern 'convnext_*' of toy stands for no model yet\n"
        "cause: patterns are expanded into models.lock, and there is none\n"
        "next: make lock"
    )


def test_a_pattern_that_the_lock_does_not_know_yet_is_refused_rather_than_nothing(tmp_path: Path) -> None:
    # Else `upload` would leave it out in silence, and `prune` would call what it stood for unknown.
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, _home(tmp_path, MODELS + PATTERN, [_locked("alpha")]))
    assert refused.value.what == "the pattern 'convnext_*' of toy stands for no model yet"


def test_a_pattern_whose_models_are_all_registered_by_name_adds_none(tmp_path: Path) -> None:
    models = MODELS + PATTERN.replace("convnext_*", "alph*")
    assert _names(_home(tmp_path, models, [_locked("alpha")])) == ["alpha"]


# Making it


class Describing:
    """An origin that describes what it is asked about. ``asked`` is every request, ``refusals`` whom it refuses."""

    def __init__(self, *names: str) -> None:
        self.asked: list[str] = []
        self.folders: list[Path] = []
        self.refusals: dict[str, OriginError] = {}
        self._names = names

    def lock(self, spec: ModelSpec, into: Path) -> Locked:
        self.asked.append(f"lock {spec.model.name} {spec.asset}".strip())
        assert spec.locked is None, "what is locked now must not decide what is locked next"
        assert list(into.iterdir()) == []
        (into / "downloaded").write_bytes(b"because no digest was published")
        self.folders.append(into)
        if error := self.refusals.get(spec.model.name):
            raise error
        return replace(_locked(spec.model.name), asset=spec.asset)

    def names(self, pattern: str) -> tuple[str, ...]:
        self.asked.append(f"names {pattern}")
        return self._names


def _lock(home: Path, origin: Describing, cache: Path) -> tuple[list[Locked], list[str]]:
    said: list[str] = []
    return lock_models(TOY, origin, Cache(cache), said.append, home), said


def test_every_registered_model_is_locked_as_its_origin_describes_it(tmp_path: Path) -> None:
    beta = '\n[models.beta]\ntask = "detect"\ndescription = "another"\nasset = "b.bin"\n'
    origin, cache = Describing(), tmp_path / "cache"
    locked, said = _lock(_home(tmp_path, MODELS + beta), origin, cache)
    assert locked == [_locked("alpha"), replace(_locked("beta"), asset="b.bin")]
    assert origin.asked == ["lock alpha", "lock beta b.bin"]
    assert said == [
        f"toy/alpha  {digest(content('alpha')).short}  20 bytes",
        f"toy/beta  {digest(content('beta')).short}  19 bytes",
    ]
    assert tree(cache) == set()
    assert len(set(origin.folders)) == 2


def test_patterns_are_expanded_by_the_frameworks_own_list(tmp_path: Path) -> None:
    tiny = '\n[models.convnext_tiny]\ntask = "segment"\ndescription = "ours"\nasset = "tiny.bin"\n'
    origin = Describing("convnext_base", "convnext_tiny", "convnext_xl.fb_in22k")
    locked, _ = _lock(_home(tmp_path, MODELS + PATTERN + tiny), origin, tmp_path / "cache")
    assert [(one.model.name, one.asset) for one in locked] == [
        ("alpha", ""),
        ("convnext_base", ""),
        ("convnext_xl.fb_in22k", ""),
        ("convnext_tiny", "tiny.bin"),
    ]
    assert origin.asked == [
        "lock alpha",
        "names convnext_*",
        "lock convnext_base",
        "lock convnext_xl.fb_in22k",
        "lock convnext_tiny tiny.bin",
    ]


def test_a_model_of_two_patterns_is_asked_for_once(tmp_path: Path) -> None:
    twice = PATTERN.replace("convnext_*", "*_tiny")
    origin = Describing("convnext_tiny")
    locked, _ = _lock(_home(tmp_path, MODELS + PATTERN + twice), origin, tmp_path / "cache")
    assert [one.model.name for one in locked] == ["alpha", "convnext_tiny"]
    assert origin.asked.count("lock convnext_tiny") == 1


def test_what_was_locked_before_does_not_decide_and_may_be_malformed(tmp_path: Path) -> None:
    locked, _ = _lock(_home(tmp_path, locked="not a lock"), Describing(), tmp_path / "cache")
    assert locked == [_locked("alpha")]


def test_a_lock_is_whole_or_there_is_none(tmp_path: Path) -> None:
    origin, cache = Describing("convnext_base"), tmp_path / "cache"
    origin.refusals["convnext_base"] = OriginError("the origin did not give it", cause="404", next="run again")
    with pytest.raises(OriginError, match="did not give it"):
        _lock(_home(tmp_path, MODELS + PATTERN), origin, cache)
    assert tree(cache) == set()


def test_a_name_of_the_framework_that_cannot_be_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a model name"):
        _lock(_home(tmp_path, MODELS + PATTERN), Describing("convnext_../../etc"), tmp_path / "cache")


def test_what_is_locked_is_what_the_catalogue_then_has(tmp_path: Path) -> None:
    home = _home(tmp_path, MODELS + PATTERN)
    locked, _ = _lock(home, Describing("convnext_base", "convnext_tiny"), tmp_path / "cache")
    lock.lock_path(TOY, home).write_text(lock.render(locked), encoding="utf-8")
    assert {one.model.name: one.locked for one in catalogue.load(TOY, home)} == {
        name: _locked(name) for name in ("alpha", "convnext_base", "convnext_tiny")
    }


# What it forbids


class Saved(FakeLoader):
    """Gives files that it made itself, hashed while writing, from files of which the hub publishes a digest: timm."""

    def __init__(self, name: str, source: bytes) -> None:
        super().__init__({name: content(name)})
        self._source = source

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        acquired = super().acquire(spec, into, arrived)
        said = replace(acquired.provenance, digest=f"sha256:{digest(self._source)}")
        made = digest(acquired.path.read_bytes())
        return replace(acquired, provenance=said, published=None, published_bytes=None, streamed=made)


@pytest.fixture
def toy(tmp_path: Path, toy_origin: None) -> Iterator[OriginProcess]:
    """The toy in its child."""
    configured = settings.load({"WEIGHTDOCK_CACHE": str(tmp_path / "cache")}, dotenv=tmp_path / ".env")
    with OriginProcess(TOY, configured) as origin:
        yield origin


def _upload(loader: Loader, store: ObjectStore, cache: Path, wanted: ModelSpec) -> RunReport:
    upload = Upload(TOY, PREFIX, store, Cache(cache), loader, events.ignore, judge)
    return upload.run(upload.plan([wanted]))


def _refusal(report: RunReport) -> str:
    [result] = report.results
    assert (result.outcome, report.exit_code) == (Outcome.FAILED, ExitCode.INTEGRITY)
    assert isinstance(result.error, IntegrityError)
    return result.error.cause


def _given(asset: str = "") -> bytes:
    """What the toy gives for ``alpha``."""
    return pickle.dumps(f"alpha {asset}", protocol=0)


GIVEN = _given()
OTHERS = GIVEN.swapcase()


def test_what_the_origin_gives_as_locked_is_uploaded(toy: OriginProcess, tmp_path: Path) -> None:
    store, wanted = MemoryStore(), replace(spec(), locked=_locked(weights=GIVEN))
    report = _upload(toy, store, tmp_path / "cache", wanted)
    assert (report.exit_code, report.results[0].outcome) == (ExitCode.DONE, Outcome.UPLOADED)
    assert store.contents()[wanted.key(PREFIX)] == GIVEN


@pytest.mark.parametrize(
    ("locked", "cause"),
    [
        (_locked(weights=OTHERS), f"its sha256 is {digest(GIVEN)}, and models.lock says {digest(OTHERS)}"),
        (_locked(weights=b"alpha"), f"its size is {len(GIVEN)} bytes, and models.lock says 5 bytes"),
    ],
    ids=["digest", "size"],
)
def test_what_differs_from_its_lock_is_an_integrity_error_that_names_both(
    toy: OriginProcess, tmp_path: Path, locked: Locked, cause: str
) -> None:
    store = MemoryStore()
    report = _upload(toy, store, tmp_path / "cache", replace(spec(), locked=locked))
    assert _refusal(report) == cause
    assert store.contents() == {}
    assert not [path for path in tree(tmp_path / "cache") if path.startswith(("toy/", ".receipts/"))]


def test_what_was_cached_before_it_was_locked_otherwise_is_not_uploaded(toy: OriginProcess, tmp_path: Path) -> None:
    cache, elsewhere = tmp_path / "cache", MemoryStore()
    _upload(toy, elsewhere, cache, spec())
    store = MemoryStore()
    report = _upload(toy, store, cache, replace(spec(), locked=_locked(weights=OTHERS)))
    assert str(digest(OTHERS)) in _refusal(report)
    assert store.contents() == {}


def test_what_was_cached_as_it_is_locked_is_not_acquired_again(tmp_path: Path) -> None:
    cache, loader = tmp_path / "cache", FakeLoader({"alpha": content("alpha")})
    _upload(loader, MemoryStore(), cache, spec())
    loader.requests.clear()
    report = _upload(loader, MemoryStore(), cache, replace(spec(), locked=_locked()))
    assert (report.results[0].outcome, report.results[0].source) == (Outcome.UPLOADED, "local cache")
    assert loader.requests == []


def test_a_manifest_that_differs_from_the_lock_is_an_integrity_error_and_nothing_is_acquired(tmp_path: Path) -> None:
    store, loader = MemoryStore(), FakeLoader({"alpha": content("alpha")})
    _upload(loader, store, tmp_path / "cache", spec())
    loader.requests.clear()
    report = _upload(loader, store, tmp_path / "cache", replace(spec(), locked=_locked(weights=b"other")))
    [result] = report.results
    assert (result.outcome, report.exit_code) == (Outcome.DIFFERS, ExitCode.INTEGRITY)
    assert str(result.error) == (
        "error: toy/alpha in the store is not what it should be\n"
        f"cause: {key_of()}: the manifest says sha256 {digest(content('alpha'))}, "
        f"and models.lock says {digest(b'other')}\n"
        "next: nothing was overwritten; find out who changed what, "
        "then `weightdock upload --force --model toy/alpha` or `make lock`"
    )
    assert loader.requests == []


SOURCE = b"the hub's safetensors"


def test_what_is_made_of_the_origins_file_is_compared_by_what_it_was_made_of(tmp_path: Path) -> None:
    store, wanted = MemoryStore(), replace(spec(), locked=_locked(weights=SOURCE))
    for outcome in (Outcome.UPLOADED, Outcome.PRESENT):
        report = _upload(Saved("alpha", SOURCE), store, tmp_path / "cache", wanted)
        assert (report.results[0].outcome, report.exit_code) == (outcome, ExitCode.DONE)
    entry = manifest.read(store, PREFIX, TOY).entries["alpha"]
    assert (entry.sha256, entry.provenance.digest) == (digest(content("alpha")), f"sha256:{digest(SOURCE)}")


def test_what_is_made_of_the_origins_file_and_cached_is_not_made_again(tmp_path: Path) -> None:
    cache, wanted = tmp_path / "cache", replace(spec(), locked=_locked(weights=SOURCE))
    _upload(Saved("alpha", SOURCE), MemoryStore(), cache, wanted)
    loader = Saved("alpha", SOURCE)
    assert _upload(loader, MemoryStore(), cache, wanted).results[0].source == "local cache"
    assert loader.requests == []


def test_what_is_made_of_another_file_than_the_locked_one_is_an_integrity_error(tmp_path: Path) -> None:
    # An origin that forgets to compare must not get what it gave into the store.
    store, other = MemoryStore(), b"another safetensors"
    report = _upload(Saved("alpha", other), store, tmp_path / "cache", replace(spec(), locked=_locked(weights=SOURCE)))
    cause = _refusal(report)
    assert str(digest(other)) in cause
    assert str(digest(SOURCE)) in cause
    assert store.contents() == {}


def test_a_file_that_its_origin_hashed_itself_is_compared_with_its_lock(toy: OriginProcess, tmp_path: Path) -> None:
    given, store, wanted = _given("knows"), MemoryStore(), spec(asset="knows")
    report = _upload(toy, store, tmp_path / "cache", replace(wanted, locked=_locked(weights=OTHERS)))
    cause = _refusal(report)
    assert str(digest(given)) in cause
    assert str(digest(OTHERS)) in cause
    assert store.contents() == {}
    report = _upload(toy, store, tmp_path / "cache", replace(wanted, locked=_locked(weights=given)))
    assert report.exit_code is ExitCode.DONE
    assert set(store.contents()) == {wanted.key(PREFIX), manifest_key(PREFIX, TOY)}


def test_a_lock_travels_to_the_origin_and_back(toy: OriginProcess, tmp_path: Path) -> None:
    locked = toy.lock(replace(spec(), locked=_locked()), tmp_path)
    assert locked == Locked(
        ModelId(TOY, "alpha"),
        "",
        "https://toys.example/alpha.bin",
        "r1",
        len(GIVEN),
        digest(GIVEN),
        "MIT",
        {"toy": "1.0"},
    )
    assert toy.names("delta_*") == ("delta_base", "delta_tiny")
    assert toy.names("nothing*") == ()
    with pytest.raises(OriginError, match="the toy says no"):
        toy.lock(spec(asset="refuses"), tmp_path)
