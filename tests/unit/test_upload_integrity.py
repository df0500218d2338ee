"""Nothing unverified leaves, and what stands in the store as something else is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.fake_loader import FakeLoader, does_not_load
from support.samples import (
    ORIGIN,
    PREFIX,
    TOY,
    content,
    digest,
    entry,
    files,
    judge,
    key_of,
    provenance,
    rows,
    spec,
    verified,
)
from support.upload_bench import SPECS, Bench, failed_row, files_of, objects_of, uploaded_row
from weightdock.errors import ExitCode, IntegrityError
from weightdock.report import Outcome
from weightdock.store import manifest
from weightdock.upload.acquire import Acquire
from weightdock.upload.pipeline import Upload


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def _other_bytes(loader: FakeLoader) -> str:
    loader.published["beta"] = digest(b"what the origin published")
    return f"its sha256 is {digest(content('beta'))}, and the origin says {digest(b'what the origin published')}"


def _truncated(loader: FakeLoader) -> str:
    loader.published_bytes["beta"] = 1000
    return f"its size is {len(content('beta'))} bytes, and the origin says 1000 bytes"


@pytest.mark.parametrize("damage", [_other_bytes, _truncated])
def test_a_damaged_download_is_neither_loaded_nor_uploaded_nor_kept(
    bench: Bench, damage: Callable[[FakeLoader], str]
) -> None:
    cause = damage(bench.loader)
    report = bench.run()
    error = IntegrityError(
        "toy/beta is not what it should be",
        cause=cause,
        next="nothing was kept of it; run again, and if it stays so, find out who changed it, origin or store",
    )
    assert rows(report) == [uploaded_row("alpha"), failed_row("beta", error), uploaded_row("gamma")]
    assert report.exit_code is ExitCode.INTEGRITY
    assert "load beta" not in bench.loader.requests
    assert bench.stored() == objects_of("alpha", "gamma")
    assert bench.published().keys() == {"alpha", "gamma"}
    assert files(bench.root) == files_of("alpha", "gamma")
    assert list((bench.root / ".partial").iterdir()) == []


def test_where_the_object_is_gone_and_the_origin_has_other_bytes_the_way_on_is_named(bench: Bench) -> None:
    manifest.publish(bench.store, PREFIX, TOY, {"beta": entry("beta", b"saved by an older torch")})
    (row,) = [row for row in bench.run().results if row.model.name == "beta"]
    assert row.error
    assert "and the manifest says" in row.error.cause
    assert row.error.next.endswith("if it is meant: weightdock-driver upload --force --model toy/beta")
    assert bench.stored() == objects_of("alpha", "gamma")


def test_a_file_that_gives_no_model_is_neither_uploaded_nor_kept(bench: Bench) -> None:
    bench.loader.unloadable.add("beta")
    report = bench.run()
    assert rows(report)[1] == failed_row("beta", does_not_load("beta"))
    assert report.exit_code is ExitCode.INTEGRITY
    assert bench.stored() == objects_of("alpha", "gamma")
    assert files(bench.root) == files_of("alpha", "gamma")


def test_a_file_that_the_library_only_claims_to_have_written_is_named(bench: Bench) -> None:
    bench.loader.unwritten.add("beta")
    report = bench.run()
    error = report.results[1].error
    assert error
    assert error.exit_code is ExitCode.ORIGIN
    assert error.what == "Could not locate downloaded weights"
    assert error.cause.startswith(f"the loader of toy/beta named {bench.root}/.partial/toy-beta-")
    assert error.cause.endswith("/beta.download, which is not there")
    assert bench.stored() == objects_of("alpha", "gamma")


def test_a_file_that_differs_from_what_the_manifest_says_of_a_lost_object_is_not_uploaded(bench: Bench) -> None:
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha", b"what was lost")})
    report = bench.run(SPECS[:1])
    assert report.exit_code is ExitCode.INTEGRITY
    assert report.results[0].error
    assert report.results[0].error.cause.endswith("and the manifest says 13 bytes")
    assert (bench.stored(), bench.published()) == ({}, {"alpha": entry("alpha", b"what was lost")})


def test_a_cached_file_that_differs_from_what_the_manifest_says_of_a_lost_object_is_not_uploaded(bench: Bench) -> None:
    bench.run(SPECS[:1])
    bench.store.lose(key_of("alpha"))
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha", b"what was lost")})
    bench.run(SPECS[:1])
    assert (bench.stored(), bench.published()) == ({}, {"alpha": entry("alpha", b"what was lost")})


def test_an_object_that_the_manifest_does_not_know_is_adopted_when_it_is_the_same(bench: Bench) -> None:
    bench.store.keep(key_of("alpha"), content("alpha"))
    assert rows(bench.run(SPECS[:1])) == [uploaded_row("alpha", outcome=Outcome.ADOPTED)]
    assert bench.published() == {"alpha": entry("alpha")}
    assert bench.sent() == []


def test_an_object_that_the_manifest_does_not_know_is_left_alone_when_it_is_another(bench: Bench) -> None:
    bench.store.keep(key_of("alpha"), b"somebody else's")
    report = bench.run(SPECS[:2])
    assert (report.exit_code, rows(report)[1]) == (ExitCode.INTEGRITY, uploaded_row("beta"))
    assert bench.stored() == {key_of("alpha"): b"somebody else's", **objects_of("beta")}
    assert bench.published().keys() == {"beta"}


def test_an_object_that_is_not_what_the_manifest_says_is_left_alone(bench: Bench) -> None:
    manifest.publish(bench.store, PREFIX, TOY, {"alpha": entry("alpha")})
    bench.store.keep(key_of("alpha"), b"truncat")
    report = bench.run(SPECS[:2])
    assert report.exit_code is ExitCode.INTEGRITY
    assert [one.outcome for one in report.results] == [Outcome.DIFFERS, Outcome.UPLOADED]
    assert bench.stored() == {key_of("alpha"): b"truncat", **objects_of("beta")}
    assert bench.published() == {"alpha": entry("alpha"), "beta": entry("beta")}
    assert "acquire alpha" not in bench.loader.requests


@pytest.mark.parametrize(("theirs", "outcome"), [(content("alpha"), Outcome.PRESENT), (b"other", Outcome.FAILED)])
def test_an_object_that_somebody_creates_after_the_plan_is_never_overwritten(
    bench: Bench, theirs: bytes, outcome: Outcome
) -> None:
    upload = Upload(Acquire(TOY, bench.cache, bench.loader, bench.heard.append, judge), bench.store, PREFIX)
    planned = upload.plan(SPECS[:1])
    bench.store.keep(key_of("alpha"), theirs)
    assert [one.outcome for one in upload.run(planned).results] == [outcome]
    assert bench.stored() == {key_of("alpha"): theirs}


def test_a_file_that_a_node_fetched_tells_no_origin_and_is_acquired_again(bench: Bench) -> None:
    with bench.cache.partial(spec("alpha").model) as folder:
        bench.cache.publish(verified(folder / "x")._replace(provenance=None), "bin")
    assert rows(bench.run(SPECS[:1])) == [uploaded_row("alpha")]
    assert bench.published() == {"alpha": entry("alpha")}


def test_a_cached_file_of_another_origin_does_not_get_into_the_store(bench: Bench) -> None:
    # A demo's random weights, say, in a cache that both use.
    with bench.cache.partial(spec("alpha").model) as folder:
        other = provenance("alpha")._replace(url=f"{ORIGIN}.evil/alpha")
        bench.cache.publish(verified(folder / "x", weights=b"random")._replace(provenance=other), "bin")
    assert rows(bench.run(SPECS[:1])) == [uploaded_row("alpha")]
    assert bench.stored() == objects_of("alpha")
