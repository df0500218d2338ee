"""Shares: every model in one, about as many bytes in each, and the same for everybody who works them out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.samples import spec
from weightdock.artifact import Digest
from weightdock.catalogue import ModelSpec
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError
from weightdock.upload.share import Share, shares


def sized(name: str, size: int | None) -> ModelSpec:
    plain = spec(name)
    if size is None:
        return plain
    lock = Locked(plain.model, name, f"https://origin.example/{name}", "r1", size, Digest("a" * 64), "MIT", {})
    return plain._replace(locked=lock)


def names(specs: Sequence[ModelSpec]) -> list[str]:
    return [one.model.name for one in specs]


sizes = st.one_of(st.none(), st.integers(0, 10**12))
catalogues = st.lists(sizes, max_size=40).map(lambda all: [sized(f"m{i}", size) for i, size in enumerate(all)])


def test_the_largest_goes_first_and_always_to_the_share_that_has_least() -> None:
    catalogue = [sized(name, size) for name, size in (("a", 5), ("b", 30), ("c", 11), ("d", 10), ("e", 10))]
    assert list(map(names, shares(catalogue, 2))) == [["a", "b"], ["c", "d", "e"]]
    assert [sum(one.locked.size_bytes for one in share if one.locked) for share in shares(catalogue, 2)] == [35, 31]


def test_a_model_of_unknown_size_counts_as_the_mean_of_the_others() -> None:
    catalogue = [sized("big", 90), sized("small", 10), sized("unknown", None)]
    assert list(map(names, shares(catalogue, 2))) == [["big"], ["small", "unknown"]]


def test_without_any_sizes_shares_are_equal_in_number() -> None:
    assert sorted(map(len, shares([sized(f"m{i}", None) for i in range(8)], 3))) == [2, 3, 3]


@given(catalogues, st.integers(1, 12))
def test_every_model_is_in_exactly_one_share(catalogue: list[ModelSpec], count: int) -> None:
    made = shares(catalogue, count)
    assert len(made) == count
    assert sorted(one.model for share in made for one in share) == sorted(one.model for one in catalogue)
    assert made == tuple(Share(index, count).take(catalogue) for index in range(count))


@given(catalogues, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_the_models_does_not_matter(catalogue: list[ModelSpec], count: int, random: object) -> None:
    shuffled = list(catalogue)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    assert [{one.model for one in share} for share in shares(catalogue, count)] == [
        {one.model for one in share} for share in shares(shuffled, count)
    ]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 3))
@example([1, 1, 1, 1, 4], 2)  # where any other order is worse
def test_the_heaviest_share_is_within_a_third_of_the_best_possible(all: list[int], count: int) -> None:
    catalogue = [sized(f"m{i}", size) for i, size in enumerate(all)]
    loads = [sum(one.locked.size_bytes for one in share if one.locked) for share in shares(catalogue, count)]
    best = min(
        max(sum(size for size, share in zip(all, taken, strict=True) if share == one) for one in range(count))
        for taken in product(range(count), repeat=len(all))
    )
    assert max(loads) <= best * 4 / 3  # Graham 1969, of largest first


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "0/0", "1/2/3", "a/3", "0/x", " 0/3", "0/3 ", "123456/9"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Share.parse(text)


def test_a_share_is_read_as_it_is_written() -> None:
    assert Share.parse("2/8") == Share(2, 8)
