"""The progress of a run on stderr: bars where somebody watches a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from weightdock.events import HEARTBEAT_SECONDS, Event, State, sentence
from weightdock_driver.progress import Board, Row, duration

_QUIET_SECONDS = HEARTBEAT_SECONDS - 1  # the loop looks at the clock now and then, and the promise must hold
_FRAME_SECONDS = 0.33  # three pictures a second look alive and cost about one percent of a core
_NAMED = 4  # models that a heartbeat names
_WIDE = 100  # columns of a terminal on which a long bar leaves room for everything else
_COLUMNS = 5  # model, stage, bar, bytes, and rate with time left or a note

_COLOURS = {State.DONE: "green", State.SKIPPED: "green", State.FAILED: "red"}


class Display(Protocol):
    """What shows a run, for as long as its ``with`` lasts. Called from one thread only."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def event(self, event: Event) -> None:
        """Something happened."""

    def tick(self, running: Sequence[str]) -> None:
        """Time has passed; these containers run."""

    def say(self, text: str) -> None:
        """A line between the progress."""


def for_stderr(stream: TextIO | None, clock: Callable[[], float] = time.monotonic, *, quiet: bool = False) -> Display:
    """Bars on a terminal that can move its cursor, else heartbeats; nothing when ``quiet``. Rich heeds NO_COLOR."""
    if quiet or stream is None:  # a process without a stderr
        return Quiet()
    console = Console(file=stream)
    watched = console.is_terminal and not console.is_dumb_terminal
    return Unbreakable(Bars(console, clock) if watched else Heartbeat(stream, clock))


class Unbreakable:
    """A display that falls silent where nobody can hear it: a terminal that is gone or a full disk end no run."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def __enter__(self) -> Self:
        self._show(lambda display: display.__enter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show(lambda display: display.__exit__(kind, error, trace))

    def event(self, event: Event) -> None:
        """See :class:`Display`."""
        self._show(lambda display: display.event(event))

    def tick(self, running: Sequence[str]) -> None:
        """See :class:`Display`."""
        self._show(lambda display: display.tick(running))

    def say(self, text: str) -> None:
        """See :class:`Display`."""
        self._show(lambda display: display.say(text))

    def _show(self, doing: Callable[[Display], object]) -> None:
        try:
            doing(self._display)
        except OSError:
            self._display = Quiet()


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, event: Event) -> None:
        """Let it pass."""

    def tick(self, running: Sequence[str]) -> None:
        """Let it pass."""

    def say(self, text: str) -> None:
        """Let it pass."""


class Heartbeat:
    """A line for each change of state, and when nothing changes a line about what is going on."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._board = Board(clock)
        self._began = self._last = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, event: Event) -> None:
        """Print a change; keep mere progress for the next heartbeat."""
        self._board.hear(event)
        if event.state is not State.PROGRESS:
            self.say(sentence(event))

    def tick(self, running: Sequence[str]) -> None:
        """Say something when nothing was said for long."""
        if running and self._clock() - self._last >= _QUIET_SECONDS:
            self.say(self._still(running))

    def say(self, text: str) -> None:
        """Print a line, at once even into a pipe."""
        print(text, file=self._stream, flush=True)
        self._last = self._clock()

    def _still(self, running: Sequence[str]) -> str:
        now = self._clock()
        active = self._board.active
        if not active:
            return f"still running: {', '.join(running)}, for {duration(now - self._began)}"
        parts = [
            " ".join(filter(None, (str(row.model), row.stage, row.amount, f"for {duration(now - row.since)}")))
            for row in active[:_NAMED]
        ]
        more = [f"and {len(active) - _NAMED} more"] if len(active) > _NAMED else []
        return "still at it: " + "; ".join(parts + more)


class Bars:
    """One line per model: stage, bar, bytes, rate, time left."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._board = Board(clock)
        self._began = clock()
        self._drawn = float("-inf")
        # No thread of its own: tick() draws, so an event never meets a half-drawn picture.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update(self._picture(()), refresh=True)
        self._live.stop()

    def event(self, event: Event) -> None:
        """Remember it for the next picture; the first one, which is waited for, makes that due."""
        if not self._board.rows:
            self._drawn = float("-inf")
        self._board.hear(event)

    def tick(self, running: Sequence[str]) -> None:
        """Draw, if the last picture is old enough."""
        if self._clock() - self._drawn >= _FRAME_SECONDS:
            self._drawn = self._clock()
            self._live.update(self._picture(running), refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(text))

    def _picture(self, running: Sequence[str]) -> RenderableType:
        rows = self._board.rows
        if not rows:
            waited = duration(self._clock() - self._began)
            return Text(f"{', '.join(running)}: starting, {waited}") if running else Group()
        # A picture taller than the screen cannot be redrawn, so what is finished makes room first.
        room = max(self._console.height - 2, 1)
        shown = rows if len(rows) <= room else self._board.active[:room]
        grid = Table.grid(padding=(0, 2))
        for _ in range(_COLUMNS):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for row in shown:
            grid.add_row(*self._cells(row))
        hidden = len(rows) - len(shown)
        return Group(grid, Text(f"and {hidden} more", style="dim")) if hidden else grid

    def _cells(self, row: Row) -> tuple[RenderableType, ...]:
        ended = not row.active
        total = row.total_bytes or (1 if ended else None)
        bar = ProgressBar(
            total=total,
            completed=total if ended and total else row.done_bytes,
            width=24 if self._console.width >= _WIDE else 8,
            pulse=total is None,
            animation_time=self._clock(),
        )
        word = Text(f"{row.stage} {row.state}" if ended else row.stage, style=_COLOURS.get(row.state, ""))
        if ended:
            return Text(str(row.model)), word, bar, Text(row.amount), Text(row.note)
        rate = f"{row.rate / 1e6:.1f} MB/s" if row.rate else ""
        left = f"{duration(row.seconds_left)} left" if row.seconds_left is not None else ""
        spent = duration(self._clock() - row.since)
        return Text(str(row.model)), word, bar, Text(row.amount), Text("  ".join(filter(None, (rate, left or spent))))
