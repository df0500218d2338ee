"""What is going on, model by model, kept from the events of all containers: what both displays draw from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from weightdock.artifact import ModelId
from weightdock.events import Event, Stage, State, megabytes

_RATE_WINDOW = 10.0
"""Seconds that a rate looks back: short enough to follow a change, long enough not to flicker."""


@dataclass
class Row:
    """One model in its present stage. Times are seconds of the board's clock, sizes bytes."""

    model: ModelId
    stage: Stage
    state: State
    since: float
    note: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def active(self) -> bool:
        """Whether the stage is still going on."""
        return self.state in (State.STARTED, State.PROGRESS)

    @property
    def rate(self) -> float | None:
        """Bytes per second lately; None until there are two measurements."""
        if len(self.samples) < 2 or not self.active:
            return None
        (then, before), (now, done) = self.samples[0], self.samples[-1]
        return (done - before) / (now - then) if now > then and done > before else None

    @property
    def seconds_left(self) -> float | None:
        """Until the end of the stage at this rate; None where that cannot be known."""
        rate = self.rate
        return (self.total_bytes - self.done_bytes) / rate if rate and self.total_bytes else None

    @property
    def amount(self) -> str:
        """``45.2 of 346.0 MB``, ``45.2 MB`` or nothing."""
        if self.total_bytes and self.done_bytes != self.total_bytes:
            return f"{self.done_bytes / 1e6:.1f} of {megabytes(self.total_bytes)}"
        return megabytes(self.done_bytes) if self.done_bytes else ""


class Board:
    """Every model that has been heard of, in the order in which it was."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rows: dict[ModelId, Row] = {}

    @property
    def rows(self) -> tuple[Row, ...]:
        """All of them."""
        return tuple(self._rows.values())

    @property
    def active(self) -> tuple[Row, ...]:
        """Those that are in a stage now."""
        return tuple(row for row in self._rows.values() if row.active)

    def hear(self, event: Event) -> None:
        """Take an event in."""
        now = self._clock()
        row = self._rows.get(event.model)
        if row is None:
            row = self._rows[event.model] = Row(event.model, event.stage, event.state, since=now)
        elif row.stage is not event.stage or event.state is State.STARTED:
            # Another stage counts its bytes anew, perhaps of another file: what was measured before says nothing.
            row.stage, row.since, row.done_bytes, row.total_bytes = event.stage, now, 0, None
            row.samples.clear()
        row.state, row.note = event.state, event.note
        row.done_bytes = event.done_bytes or row.done_bytes
        row.total_bytes = event.total_bytes or row.total_bytes
        row.samples.append((now, row.done_bytes))
        while now - row.samples[0][0] > _RATE_WINDOW and len(row.samples) > 2:
            row.samples.popleft()


def duration(seconds: float) -> str:
    """``23 s``, ``4:07`` or ``1:02:33``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
