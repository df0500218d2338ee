"""Uploads keep to the lock: what differs is an integrity error that names both."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.fake_loader import FakeLoader
from support.lock_samples import locked_toy
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, judge, key_of, spec, tree
from weightdock import events, settings
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ExitCode, IntegrityError, OriginError
from weightdock.events import BytesObserver
from weightdock.origins import AcquiredFile
from weightdock.origins.child import OriginProcess
from weightdock.report import Outcome, RunReport
from weightdock.store import ObjectStore, manifest
from weightdock.store.manifest import manifest_key
from weightdock.upload.acquire import Acquire, Loader
from weightdock.upload.pipeline import Upload

# What it forbids


class Saved(FakeLoader):
    """Gives files that it made itself, hashed while writing, from files of which the hub publishes a digest: timm."""

    def __init__(self, name: str, source: bytes) -> None:
        super().__init__({name: content(name)})
        self._source = source

    def acquire(self, spec: ModelSpec, into: Path, arrived: BytesObserver) -> AcquiredFile:
        acquired = super().acquire(spec, into, arrived)
        said = acquired.provenance._replace(digest=f"sha256:{digest(self._source)}")
        made = digest(acquired.path.read_bytes())
        return replace(acquired, provenance=said, published=None, published_bytes=None, streamed=made)


@pytest.fixture
def toy(tmp_path: Path, toy_origin: None) -> Iterator[OriginProcess]:
    """The toy in its child."""
    configured = settings.load({"WEIGHTDOCK_CACHE": str(tmp_path / "cache")}, dotenv=tmp_path / ".env")
    with OriginProcess(TOY, configured) as origin:
        yield origin


def _upload(loader: Loader, store: ObjectStore, cache: Path, wanted: ModelSpec) -> RunReport:
    upload = Upload(Acquire(TOY, Cache(cache), loader, events.ignore, judge), store, PREFIX)
    return upload.run(upload.plan([wanted]))


def _refusal(report: RunReport) -> str:
    [result] = report.results
    assert (result.outcome, report.exit_code) == (Outcome.FAILED, ExitCode.INTEGRITY)
    assert isinstance(result.error, IntegrityError)
    return result.error.cause


def _given(asset: str = "") -> bytes:
    """What the toy gives for ``alpha``."""
    return pickle.dumps(f"alpha {asset}", protocol=2)


GIVEN = _given()

OTHERS = GIVEN.swapcase()


def test_what_the_origin_gives_as_locked_is_uploaded(toy: OriginProcess, tmp_path: Path) -> None:
    store, wanted = MemoryStore(), spec()._replace(locked=locked_toy(weights=GIVEN))
    report = _upload(toy, store, tmp_path / "cache", wanted)
    assert (report.exit_code, report.results[0].outcome) == (ExitCode.DONE, Outcome.UPLOADED)
    assert store.contents()[wanted.key(PREFIX)] == GIVEN


@pytest.mark.parametrize(
    ("locked", "cause"),
    [
        (locked_toy(weights=OTHERS), f"its sha256 is {digest(GIVEN)}, and models.lock says {digest(OTHERS)}"),
        (locked_toy(weights=b"alpha"), f"its size is {len(GIVEN)} bytes, and models.lock says 5 bytes"),
    ],
    ids=["digest", "size"],
)
def test_what_differs_from_its_lock_is_an_integrity_error_that_names_both(
    toy: OriginProcess, tmp_path: Path, locked: Locked, cause: str
) -> None:
    store = MemoryStore()
    report = _upload(toy, store, tmp_path / "cache", spec()._replace(locked=locked))
    assert _refusal(report) == cause
    assert report.results[0].error
    assert report.results[0].error.next.endswith("find out why the origin changed it; if it is meant: make lock")
    assert store.contents() == {}
    assert not [path for path in tree(tmp_path / "cache") if path.startswith(("toy/", ".receipts/"))]


def test_what_was_cached_before_it_was_locked_otherwise_is_not_uploaded(toy: OriginProcess, tmp_path: Path) -> None:
    cache, elsewhere = tmp_path / "cache", MemoryStore()
    _upload(toy, elsewhere, cache, spec())
    store = MemoryStore()
    report = _upload(toy, store, cache, spec()._replace(locked=locked_toy(weights=OTHERS)))
    assert str(digest(OTHERS)) in _refusal(report)
    assert store.contents() == {}


def test_what_was_cached_as_it_is_locked_is_not_acquired_again(tmp_path: Path) -> None:
    cache, loader = tmp_path / "cache", FakeLoader({"alpha": content("alpha")})
    _upload(loader, MemoryStore(), cache, spec())
    loader.requests.clear()
    report = _upload(loader, MemoryStore(), cache, spec()._replace(locked=locked_toy()))
    assert (report.results[0].outcome, report.results[0].source) == (Outcome.UPLOADED, "local cache")
    assert loader.requests == []


def test_a_manifest_that_differs_from_the_lock_is_an_integrity_error_and_nothing_is_acquired(tmp_path: Path) -> None:
    store, loader = MemoryStore(), FakeLoader({"alpha": content("alpha")})
    _upload(loader, store, tmp_path / "cache", spec())
    loader.requests.clear()
    report = _upload(loader, store, tmp_path / "cache", spec()._replace(locked=locked_toy(weights=b"other")))
    [result] = report.results
    assert (result.outcome, report.exit_code) == (Outcome.DIFFERS, ExitCode.INTEGRITY)
    assert str(result.error) == (
        "error: toy/alpha in the store is not what it should be\n"
        f"cause: {key_of()}: the manifest says sha256 {digest(content('alpha'))}, "
        f"and models.lock says {digest(b'other')}\n"
        "next: nothing was overwritten; find out who changed what, "
        "then `weightdock-driver upload --force --model toy/alpha` or `make lock`"
    )
    assert loader.requests == []


SOURCE = b"the hub's safetensors"


def test_what_is_made_of_the_origins_file_is_compared_by_what_it_was_made_of(tmp_path: Path) -> None:
    store, wanted = MemoryStore(), spec()._replace(locked=locked_toy(weights=SOURCE))
    for outcome in (Outcome.UPLOADED, Outcome.PRESENT):
        report = _upload(Saved("alpha", SOURCE), store, tmp_path / "cache", wanted)
        assert (report.results[0].outcome, report.exit_code) == (outcome, ExitCode.DONE)
    entry = manifest.read(store, PREFIX, TOY).entries["alpha"]
    assert (entry.sha256, entry.provenance.digest) == (digest(content("alpha")), f"sha256:{digest(SOURCE)}")


def test_what_is_made_of_the_origins_file_and_cached_is_not_made_again(tmp_path: Path) -> None:
    cache, wanted = tmp_path / "cache", spec()._replace(locked=locked_toy(weights=SOURCE))
    _upload(Saved("alpha", SOURCE), MemoryStore(), cache, wanted)
    loader = Saved("alpha", SOURCE)
    assert _upload(loader, MemoryStore(), cache, wanted).results[0].source == "local cache"
    assert loader.requests == []


def test_what_is_made_of_another_file_than_the_locked_one_is_an_integrity_error(tmp_path: Path) -> None:
    # An origin that forgets to compare must not get what it gave into the store.
    store, other = MemoryStore(), b"another safetensors"
    report = _upload(
        Saved("alpha", other), store, tmp_path / "cache", spec()._replace(locked=locked_toy(weights=SOURCE))
    )
    assert _refusal(report) == f"the origin gave sha256 {digest(other)}, and models.lock says {digest(SOURCE)}"
    assert store.contents() == {}


def test_a_file_that_its_origin_hashed_itself_is_compared_with_its_lock(toy: OriginProcess, tmp_path: Path) -> None:
    given, store, wanted = _given("knows"), MemoryStore(), spec(asset="knows")
    report = _upload(toy, store, tmp_path / "cache", wanted._replace(locked=locked_toy(weights=OTHERS)))
    cause = _refusal(report)
    assert str(digest(given)) in cause
    assert str(digest(OTHERS)) in cause
    assert store.contents() == {}
    report = _upload(toy, store, tmp_path / "cache", wanted._replace(locked=locked_toy(weights=given)))
    assert report.exit_code is ExitCode.DONE
    assert set(store.contents()) == {wanted.key(PREFIX), manifest_key(PREFIX, TOY)}


def test_a_lock_travels_to_the_origin_and_back(toy: OriginProcess, tmp_path: Path) -> None:
    locked = toy.lock(spec()._replace(locked=locked_toy()), tmp_path)
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
