"""Verification: what it compares, in which order, and what it says of a difference."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weightdock.verify
from support.samples import content, digest, provenance, spec
from weightdock.errors import IntegrityError
from weightdock.verify import Expectation, VerifiedFile, identity_of, sha256_of, verify

MODEL = spec().model
WEIGHTS = content("alpha")
TRUE, OTHER = digest(WEIGHTS), digest(b"other")
NEXT = "nothing was kept of it; run again, and if it stays so, find out who changed it, origin or store"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "download"
    path.write_bytes(WEIGHTS)
    return path


def _never(path: Path) -> None:
    raise AssertionError(f"{path} was loaded before it was compared")


@pytest.mark.parametrize(
    "expected",
    [
        [],
        [Expectation("nobody")],
        [Expectation("the origin", len(WEIGHTS))],
        [Expectation("the origin", len(WEIGHTS), TRUE), Expectation("the manifest", None, TRUE)],
    ],
    ids=repr,
)
def test_a_file_that_is_what_it_should_be_is_verified(path: Path, expected: list[Expectation]) -> None:
    assert verify(MODEL, path, expected, provenance=provenance()) == VerifiedFile(
        MODEL, path, len(WEIGHTS), TRUE, provenance(), identity=identity_of(path.stat())
    )


def test_an_empty_file_is_not_what_an_origin_that_names_a_size_gave(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(IntegrityError, match="its size is 0 bytes"):
        verify(MODEL, empty, [Expectation("the origin", 1)])
    assert verify(MODEL, empty, [Expectation("the origin", 0)]).sha256 == digest(b"")


@pytest.mark.parametrize(
    ("expected", "cause"),
    [
        (
            [Expectation("the origin", 5, TRUE)],
            f"its size is {len(WEIGHTS)} bytes, and the origin says 5 bytes",
        ),
        (
            [Expectation("the origin", None, OTHER)],
            f"its sha256 is {TRUE}, and the origin says {OTHER}",
        ),
        (
            [Expectation("the origin", len(WEIGHTS), TRUE), Expectation("the manifest", len(WEIGHTS), OTHER)],
            f"its sha256 is {TRUE}, and the manifest says {OTHER}",
        ),
        (  # the size, which costs nothing to know, is compared before anything is read
            [Expectation("the origin", None, OTHER), Expectation("the manifest", 0, TRUE)],
            f"its size is {len(WEIGHTS)} bytes, and the manifest says 0 bytes",
        ),
    ],
    ids=["size", "sha256", "sha256 of the second", "size of the second"],
)
def test_a_difference_is_refused_with_both_values_and_nothing_is_loaded(
    path: Path, expected: list[Expectation], cause: str
) -> None:
    with pytest.raises(IntegrityError) as refused:
        verify(MODEL, path, expected, load=_never)
    assert str(refused.value) == f"error: toy/alpha is not what it should be\ncause: {cause}\nnext: {NEXT}"


def test_a_digest_that_was_computed_while_writing_is_taken_and_the_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "download"
    path.write_bytes(WEIGHTS)
    assert verify(MODEL, path, [Expectation("the origin", None, OTHER)], streamed=OTHER).sha256 == OTHER


def test_the_loader_gets_the_file_after_it_was_compared(path: Path) -> None:
    loaded: list[Path] = []
    verify(MODEL, path, [Expectation("the origin", len(WEIGHTS), TRUE)], load=loaded.append)
    assert loaded == [path]


def test_a_file_that_does_not_load_is_not_verified(path: Path) -> None:
    def refuse(path: Path) -> None:
        raise IntegrityError("it does not load", cause="the loader says no", next="run again")

    with pytest.raises(IntegrityError, match="it does not load"):
        verify(MODEL, path, [], load=refuse)


@given(weights=st.binary(max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_files_digest_is_its_sha256_wherever_its_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bytes
) -> None:
    monkeypatch.setattr(weightdock.verify, "_CHUNK_BYTES", 7)
    path = tmp_path / "weights"
    path.write_bytes(weights)
    asked: list[None] = []
    assert sha256_of(path, lambda: asked.append(None)).hex == hashlib.sha256(weights).hexdigest()
    assert len(asked) == -(-len(weights) // 7), "between any two pieces it can be ended"
