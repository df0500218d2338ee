"""The simulation of a fleet: the same figures every time, sums that are right, and a page that says what it found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fleet_simulation import DOCUMENTS, MODEL_BYTES, Fleet, Outcome, row, simulate
from results import BENCHMARKS, DOCS

SMALL = Fleet(nodes=200, capacity=10_000.0)
CROWDED = Fleet(nodes=200, capacity=20.0, part=1e12, connections=4)
"""As 10,000 nodes are for a bucket that takes 1,000 requests a second."""


def _kept() -> list[tuple[Fleet, Outcome]]:
    found = json.loads((BENCHMARKS / "fleet-simulation.json").read_text(encoding="utf-8"))
    return [
        (Fleet(**one["fleet"]), Outcome(**one["outcome"] | {"arriving": tuple(one["outcome"]["arriving"])}))
        for one in found
    ]


def test_the_same_fleet_gives_the_same_figures_and_another_seed_gives_others() -> None:
    assert simulate(CROWDED) == simulate(CROWDED)
    assert simulate(CROWDED) != simulate(replace(CROWDED, seed=2))


def test_with_room_enough_every_byte_is_fetched_once() -> None:
    outcome = simulate(SMALL)
    parts = sum(-(-int(size) // 2**23) for size in MODEL_BYTES)
    assert (outcome.refused, outcome.failed_nodes) == (0, 0)
    assert outcome.requests == sum(outcome.arriving) == 200 * (DOCUMENTS + parts)
    assert outcome.terabytes == pytest.approx(200 * sum(MODEL_BYTES) / 1e12, abs=0.005)
    assert outcome.last_filled < 60 + 2 * outcome.median_node


def test_parts_in_turn_are_as_many_requests_and_a_node_waits_for_its_largest_file() -> None:
    free, in_turn = simulate(replace(SMALL, part=2**25)), simulate(replace(SMALL, part=2**25, in_turn=True))
    assert in_turn.requests == free.requests == 200 * (DOCUMENTS + sum(-(-int(size) // 2**25) for size in MODEL_BYTES))
    assert in_turn.terabytes == free.terabytes
    assert in_turn.median_node > max(MODEL_BYTES) / 30e6 > free.median_node


def test_back_off_fails_fewer_nodes_than_asking_again_at_once_and_jitter_none() -> None:
    paced, plain, spread = map(simulate, (CROWDED, replace(CROWDED, back_off=False), replace(CROWDED, jitter=900.0)))
    assert spread.failed_nodes == 0
    assert spread.failed_nodes < paced.failed_nodes < plain.failed_nodes
    assert spread.peak_requests_a_second < paced.peak_requests_a_second


def test_the_pages_table_is_what_the_simulation_found() -> None:
    page = (DOCS / "fleet-simulation.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert table == [f"| {' | '.join(row(*one))} |" for one in _kept()]


def test_what_it_found_is_what_it_finds() -> None:
    fleet, outcome = next(one for one in _kept() if one[0].capacity == 1_000 and one[0].jitter == 300)
    assert simulate(fleet) == outcome
