"""What a fleet that starts all at once does to one bucket: a small deterministic simulation, with the real pace.

``python bench/fleet_simulation.py`` writes docs/benchmarks/fleet-simulation.{json,svg} and the table of
docs/fleet-simulation.md. Nothing is measured here: it is arithmetic with a clock of its own, and says what jitter and
back-off do for given capacities of a bucket. R2 documents no limit for reads (writes: one a second for a key; listings
and the like: 50 a second for a bucket; https://developers.cloudflare.com/r2/platform/limits/), only that a bucket which
gets too many answers 5xx (https://developers.cloudflare.com/r2/platform/troubleshooting/). So two capacities are
assumed: 1,000 a second, which the open beta documented, and 5,000, which Cloudflare's people have named in public.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median

from results import DOCS, Table, plot, save
from weightdock.node.way import LIMITS
from weightdock.report import Operations
from weightdock.store.pace import ATTEMPTS, FIRST_PAUSE_SECONDS, Pace

MODEL_BYTES = (86.7e6, 114.4e6, 346.3e6, 5.5e6, 6.0e6, 6.1e6, 25.9e6, 156.0e6)
"""The eight models of the catalogues."""

DOCUMENTS = 2
"""A manifest per framework."""

WINDOW_SECONDS = 60.0
LATENCY_SECONDS = 0.02
CONNECTION_BYTES_A_SECOND = 30e6
_TICK = 0.1  # seconds in which a bucket's capacity is counted


_Row = tuple[float, ...]


@dataclass(frozen=True)
class Fleet:
    """What starts, and how. ``jitter`` in seconds, ``part`` in bytes, ``capacity`` in requests a second.

    ``connections`` is how many parts are asked for at a time, ``in_turn`` that no two of them are of one file.
    ``back_off`` is whether refused nodes keep to the pace of store/pace.py; without it each asks again after the first
    pause, as a plain retry loop would.
    """

    nodes: int = 10_000
    jitter: float = 0.0
    back_off: bool = True
    capacity: float = 5_000.0
    part: float = 8 * 2**20
    connections: int = 20
    in_turn: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of it. Times in seconds; those of a node run from its start, its jitter included."""

    requests: int
    refused: int
    peak_requests_a_second: int
    failed_nodes: int
    median_node: float
    slowest_node: float
    last_filled: float
    terabytes: float
    dollars: float
    arriving: tuple[int, ...]


@dataclass
class _Node:
    """A node: what it has yet to ask for, how many of its requests are under way, and its pace.

    What waits are rows of parts, in bytes, of which each is asked for when the one before it has come.
    """

    started: float
    pace: Pace
    waiting: list[_Row]
    under_way: int = 0
    failed: bool = False
    done: float = 0.0


@dataclass
class _Simulation:
    fleet: Fleet
    now: float = 0.0
    events: list[tuple[float, int, _Node, _Row, int, bool | None]] = field(default_factory=list)
    count: int = 0
    admitted: Counter[int] = field(default_factory=Counter)
    arrived: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    moved: float = 0.0
    rows: list[_Row] = field(default_factory=list)

    def run(self) -> Outcome:
        random.seed(self.fleet.seed)  # the pace's own jitter draws from there
        files = [tuple(_parts(size, self.fleet.part)) for size in MODEL_BYTES]
        self.rows = files if self.fleet.in_turn else [(part,) for file in files for part in file]
        nodes = [self._node() for _ in range(self.fleet.nodes)]
        for node in nodes:
            self._next(node, node.started + random.uniform(0, self.fleet.jitter))
        while self.events:
            self.now, _, node, parts, attempt, answer = heapq.heappop(self.events)
            if answer is None:
                self._ask(node, parts, attempt)
            elif answer:
                self._answered(node, parts)
            else:
                self._refused(node, parts, attempt)
        return self._outcome(nodes)

    def _node(self) -> _Node:
        waiting = [*reversed(self.rows), *[(1e3,)] * DOCUMENTS]
        return _Node(random.uniform(0, WINDOW_SECONDS), Pace(clock=lambda: self.now), waiting)

    def _next(self, node: _Node, at: float) -> None:
        """Ask for more, as far as its connections go; the manifests come first, one after the other."""
        of_documents = len(node.waiting) + node.under_way > len(self.rows)
        most = 1 if of_documents else self.fleet.connections
        while node.waiting and node.under_way < most:
            node.under_way += 1
            self._later(at, node, node.waiting.pop(), 1, None)

    def _later(self, at: float, node: _Node, parts: _Row, attempt: int, answer: bool | None) -> None:
        self.count += 1
        heapq.heappush(self.events, (at, self.count, node, parts, attempt, answer))

    def _ask(self, node: _Node, parts: _Row, attempt: int) -> None:
        if node.failed:
            return
        if self.fleet.back_off and node.pace._not_before > self.now:
            self._later(node.pace._not_before, node, parts, attempt, None)
            return
        tick = int(self.now / _TICK)
        self.arrived[int(self.now)] += 1
        if self.admitted[tick] >= self.fleet.capacity * _TICK:
            self.refused += 1
            self._later(self.now + LATENCY_SECONDS, node, parts, attempt, False)
            return
        self.admitted[tick] += 1
        seconds = LATENCY_SECONDS + parts[0] / CONNECTION_BYTES_A_SECOND
        self._later(self.now + seconds, node, parts, attempt, True)

    def _answered(self, node: _Node, parts: _Row) -> None:
        node.pace._speed_up()
        node.done = self.now
        self.moved += parts[0]
        if rest := parts[1:]:
            self._later(self.now, node, rest, 1, None)
            return
        node.under_way -= 1
        self._next(node, self.now)

    def _refused(self, node: _Node, parts: _Row, attempt: int) -> None:
        pause = node.pace._slow_down(attempt) if self.fleet.back_off else FIRST_PAUSE_SECONDS
        if pause is None or attempt >= ATTEMPTS:
            node.failed = True
            return
        self._later(self.now + pause, node, parts, attempt + 1, None)

    def _outcome(self, nodes: list[_Node]) -> Outcome:
        took = sorted(node.done - node.started for node in nodes if not node.failed) or [0.0]
        requests = sum(self.arrived.values())
        return Outcome(
            requests=requests,
            refused=self.refused,
            peak_requests_a_second=max(self.arrived.values()),
            failed_nodes=sum(node.failed for node in nodes),
            median_node=round(median(took), 1),
            slowest_node=round(took[-1], 1),
            last_filled=round(max(node.done for node in nodes), 1),
            terabytes=round(self.moved / 1e12, 2),
            dollars=round(Operations(0, requests).dollars, 2),
            arriving=tuple(self.arrived[second] for second in range(max(self.arrived) + 1)),
        )


def _parts(size: float, part: float) -> Iterator[float]:
    while size > 0:
        yield min(size, part)
        size -= part


def simulate(fleet: Fleet) -> Outcome:
    """The same for the same fleet, always."""
    return _Simulation(fleet).run()


_PARTS: dict[float, str] = {LIMITS.request: "32 MiB", LIMITS.piece: "8 MiB"}


def _long(capacity: float, jitter: float) -> Fleet:
    """As node/ranges.py reads on a wide way."""
    return Fleet(jitter=jitter, capacity=capacity, part=LIMITS.request, connections=8, in_turn=True)


def _short(capacity: float, jitter: float, *, back_off: bool = True) -> Fleet:
    """As it reads on a narrow one."""
    return Fleet(jitter=jitter, back_off=back_off, capacity=capacity, part=LIMITS.piece, connections=LIMITS.ahead)


_FLEETS = (
    _long(5_000, 0),
    *(_short(5_000, jitter) for jitter in (0, 120, 300)),
    *(_long(1_000, jitter) for jitter in (0, 120, 300)),
    *(_short(1_000, jitter) for jitter in (0, 300, 1_200)),
    _short(5_000, 0, back_off=False),
)
_HEAD = (
    "capacity, requests/s",
    "read in",
    "jitter, s",
    "back-off",
    "requests",
    "refused",
    "peak, requests/s",
    "failed nodes",
    "median node, s",
    "slowest node, s",
    "last filled, s",
    "TB",
    "$",
)


def row(fleet: Fleet, outcome: Outcome) -> tuple[str, ...]:
    """A line of the page's table."""
    return (
        f"{fleet.capacity:,.0f}",
        _PARTS[fleet.part],
        f"{fleet.jitter:.0f}",
        "yes" if fleet.back_off else "no",
        *(f"{number:,}" for number in (outcome.requests, outcome.refused, outcome.peak_requests_a_second)),
        f"{outcome.failed_nodes:,}",
        *(f"{seconds:.0f}" for seconds in (outcome.median_node, outcome.slowest_node, outcome.last_filled)),
        f"{outcome.terabytes:.2f}",
        f"{outcome.dollars:.2f}",
    )


def _name(fleet: Fleet) -> str:
    kept = "" if fleet.back_off else ", no back-off"
    return f"{_PARTS[fleet.part]}, bucket of {fleet.capacity:,.0f}/s, jitter {fleet.jitter:.0f} s{kept}"


def main() -> None:
    """Simulate the fleets of the page, and write what came of them."""
    outcomes = [(fleet, simulate(fleet)) for fleet in _FLEETS]
    found = [{"fleet": asdict(fleet), "outcome": asdict(outcome)} for fleet, outcome in outcomes]
    save("fleet-simulation", found, DOCS / "fleet-simulation.md", Table(_HEAD, [row(*one) for one in outcomes]))
    shown = (0, 1, 3, 6, 10)
    lines = {_name(_FLEETS[one]): list(enumerate(outcomes[one][1].arriving)) for one in shown}
    plot("fleet-simulation", lines, x="seconds since the first node started", y="requests a second at the bucket")


if __name__ == "__main__":
    main()
