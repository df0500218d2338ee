"""How a file is cut: by R2's rules whatever its size (https://developers.cloudflare.com/r2/objects/multipart-objects/)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weightdock.store.multipart import PART_BYTES, SINGLE_PUT_BYTES, Part, part_bytes, parts_of, put_operations

MIB, GIB, TIB = 1024**2, 1024**3, 1024**4
MOST_PARTS = 10_000
LEAST_PART, LARGEST_PART = 5 * MIB, 5 * GIB
LARGEST_FILE = 5 * TIB

MANY = PART_BYTES * MOST_PARTS
"""The largest file for which parts of the usual size are enough."""

BOUNDARIES = st.builds(
    lambda count, step, near: max(0, count * step + near),
    st.integers(min_value=0, max_value=MOST_PARTS + 2),
    st.sampled_from([PART_BYTES, LEAST_PART, SINGLE_PUT_BYTES, MANY // MOST_PARTS + 1]),
    st.integers(min_value=-2, max_value=2),
)
SIZES = (
    st.integers(min_value=0, max_value=2 * MANY) | st.integers(min_value=0, max_value=LARGEST_FILE) | BOUNDARIES
).filter(lambda size: size <= LARGEST_FILE)


@given(SIZES)
@example(0)
@example(1)
@example(SINGLE_PUT_BYTES)
@example(MANY)
@example(MANY + 1)
@example(LARGEST_FILE)
def test_parts_keep_the_rules_of_r2_whatever_the_size(size: int) -> None:
    length = part_bytes(size)
    parts = list(parts_of(size, length))
    assert LEAST_PART <= length <= LARGEST_PART
    assert len(parts) <= MOST_PARTS
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert {part.length for part in parts[:-1]} <= {length}
    assert all(0 < part.length <= length for part in parts)


@given(SIZES)
def test_parts_cover_a_file_without_a_gap_and_without_overlap(size: int) -> None:
    parts = list(parts_of(size, part_bytes(size)))
    assert sum(part.length for part in parts) == size
    assert all(one.offset + one.length == following.offset for one, following in pairwise(parts))
    if parts:
        assert (parts[0].offset, parts[-1].offset + parts[-1].length) == (0, size)
    else:
        assert size == 0


@given(st.integers(min_value=0, max_value=5000), st.integers(min_value=1, max_value=100))
def test_the_parts_of_a_file_put_together_are_the_file(size: int, length: int) -> None:
    content = bytes(number % 251 for number in range(size))
    pieces = [content[part.offset : part.offset + part.length] for part in parts_of(size, length)]
    assert b"".join(pieces) == content


@given(SIZES, SIZES)
def test_a_larger_file_never_has_smaller_parts(one: int, other: int) -> None:
    assert part_bytes(min(one, other)) <= part_bytes(max(one, other))


@given(SIZES)
def test_a_file_costs_one_operation_up_to_the_threshold_and_above_it_one_for_each_part_and_two(size: int) -> None:
    parts = sum(1 for _ in parts_of(size, part_bytes(size)))
    assert put_operations(size) == (1 if size <= SINGLE_PUT_BYTES else parts + 2)


@pytest.mark.parametrize(
    ("size", "operations"),
    [
        (0, 1),
        (5_500_000, 1),
        (SINGLE_PUT_BYTES, 1),
        (SINGLE_PUT_BYTES + 1, 2 + 6),
        (7 * PART_BYTES, 2 + 7),
        (7 * PART_BYTES + 1, 2 + 8),
        (5 * GIB, 2 + 320),
        (MANY, 2 + MOST_PARTS),
        (MANY + 1, 2 + MOST_PARTS),
        (LARGEST_FILE, 2 + MOST_PARTS),
    ],
)
def test_what_files_of_some_sizes_cost(size: int, operations: int) -> None:
    assert put_operations(size) == operations


def test_the_parts_of_a_file_that_is_a_little_larger_than_the_threshold() -> None:
    size = SINGLE_PUT_BYTES + 1
    assert list(parts_of(size, part_bytes(size)))[-2:] == [
        Part(5, 4 * PART_BYTES, PART_BYTES),
        Part(6, 5 * PART_BYTES, size - 5 * PART_BYTES),
    ]
