"""When a way is said to be narrow."""

from __future__ import annotations

import pytest

from weightdock.node.way import Limits, Watch


def watched(network: float, disk: float) -> list[bool]:
    """What a watch says of 16 bytes at a time, which take so many seconds; a way is wide from 100 bytes a second."""
    watch, now, came, said = Watch(Limits(wide=100, window=1)), 1.0, 0, []
    for _ in range(40):
        now, came = now + network, came + 16
        said.append(watch.hears_narrow(now, network, came))
        now += disk
    return said


@pytest.mark.parametrize(
    ("network", "disk"), [(0.1, 0.0), (0.1, 0.05), (0.01, 0.3)], ids=["fast", "fast, and a disk", "a slow disk"]
)
def test_a_wide_way_is_not_said_to_be_narrow(network: float, disk: float) -> None:
    assert not any(watched(network, disk))


@pytest.mark.parametrize(("network", "disk"), [(0.3, 0.0), (0.3, 0.25)], ids=["slow", "slow, and a slow disk"])
def test_a_narrow_way_shows_within_a_window(network: float, disk: float) -> None:
    assert watched(network, disk).index(True) == -(-1 // (network + disk))
