"""The driver on a Swarm of three engines on this machine, with a store that keeps R2's rules on the bridge between."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from support.fleet_bench import MODELS, Bench, bench, manifest, uploaded
from support.servers import SECRET_ACCESS_KEY, Server

pytestmark = [pytest.mark.fleet, pytest.mark.engine]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory, behind_r2: Server) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("fleet"), behind_r2) as made:
        yield made


@pytest.fixture(autouse=True)
def near(swarm: Bench) -> Iterator[None]:
    yield
    swarm.far.one_way_seconds = 0.0


def until(told: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def test_sixty_models_are_shared_out_over_three_nodes_and_reported_in_one_table(swarm: Bench) -> None:
    place = swarm.place()
    ran = swarm.run(place, "swarm", "upload", "--tasks", "3")
    assert ran.code == 0, ran.err
    assert uploaded(place) == list(MODELS)
    assert sorted(manifest(place)) == list(MODELS)
    assert ran.out.splitlines()[-1].startswith("60 models: 60 uploaded")
    assert [line.split()[0] for line in ran.out.splitlines()[1:61]] == [f"toy/{name}" for name in MODELS]
    assert swarm.fleet.left_on_swarm() == []
    assert SECRET_ACCESS_KEY not in ran.out + ran.err
