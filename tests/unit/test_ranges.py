"""When a file is read by one request, and when ranges of it are asked for ahead; with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from support.memory_store import MemoryStore
from weightdock.artifact import ObjectKey
from weightdock.node.ranges import Limits, Ranges
from weightdock.store import Version

KEY = ObjectKey("models/pretrained/toy/alpha.bin")
CONTENT = bytes(range(256)) * 4
PIECE = 16
LIMITS = Limits(wide=100, window=1, piece=64, ahead=2)
"""A way is wide from a hundred bytes a second."""


@dataclass
class Way(MemoryStore):
    """A store that gives a piece in ``network`` seconds, before a disk that takes it in ``disk`` seconds."""

    network: float
    disk: float
    now: float = 1.0
    taken: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        super().__init__()
        self.keep(KEY, CONTENT)

    def read_range(self, version: Version, start: int, length: int, take: Callable[[bytes], None]) -> None:
        def slowly(content: bytes) -> None:
            for at in range(0, len(content), PIECE):
                self.now += self.network
                take(content[at : at + PIECE])

        super().read_range(version, start, length, slowly)

    def take(self, piece: bytes) -> None:
        self.now += self.disk
        self.taken += piece

    def read(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """How many requests it took."""
        monkeypatch.setattr("weightdock.node.ranges.time.monotonic", lambda: self.now)
        with Ranges(self, LIMITS) as reading:
            reading.read(Version(KEY, len(CONTENT)), 0, self.take)
        assert self.taken == CONTENT
        return len(self.requests)


@pytest.mark.parametrize(
    ("network", "disk"), [(0.1, 0.0), (0.1, 0.05), (0.01, 0.3)], ids=["fast", "fast, and a disk", "a slow disk"]
)
def test_a_wide_way_is_one_request(monkeypatch: pytest.MonkeyPatch, network: float, disk: float) -> None:
    assert Way(network, disk).read(monkeypatch) == 1


@pytest.mark.parametrize(("network", "disk"), [(0.3, 0.0), (0.3, 0.25)], ids=["slow", "slow, and a slow disk"])
def test_a_narrow_way_shows_within_a_window_and_the_rest_is_asked_for_in_ranges(
    monkeypatch: pytest.MonkeyPatch, network: float, disk: float
) -> None:
    requests = Way(network, disk).read(monkeypatch)
    seen = PIECE * (1 + -(-1 // (network + disk)))  # the first piece, and those of a second
    assert requests == 1 + -(-(len(CONTENT) - seen) // LIMITS.piece)


def test_on_a_narrow_way_a_file_begins_with_one_range_which_names_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way = Way(0.3, 0.0)
    monkeypatch.setattr("weightdock.node.ranges.time.monotonic", lambda: way.now)
    with Ranges(way, LIMITS) as reading:
        reading.read(Version(KEY, len(CONTENT)), 0, way.take)
        way.requests.clear()
        way.taken.clear()
        reading.read(Version(KEY, len(CONTENT)), 0, way.take)
    assert way.taken == CONTENT
    assert len(way.requests) == len(CONTENT) / LIMITS.piece
