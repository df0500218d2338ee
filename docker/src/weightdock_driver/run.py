"""Run containers side by side: a thread listens to each, and one loop hears all of them, the clock and the signals."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from weightdock.errors import WeightdockError
from weightdock.events import Event
from weightdock_driver.display import Display
from weightdock_driver.jobs import Job
from weightdock_driver.run_spec import RunSpec
from weightdock_driver.signals import Stopped, delivered_to
from weightdock_driver.stream import Output
from weightdock_driver.verdict import Ended, Exit

TICK_SECONDS = 0.25
"""How often the display may move when no event comes."""

GRACE_SECONDS = 5.0
"""How long a container that was asked to stop may take; then it is killed."""


class Container(Protocol):
    """A container as a run needs it: :class:`weightdock_driver.engine.Container`. Each call may raise EngineError."""

    @property
    def name(self) -> str:
        """Unique on its engine."""

    def start(self) -> None:
        """Begin."""

    def output(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Chunks of stdout and stderr, until it ends; one of the two is None."""

    def wait(self) -> Exit:
        """How it ended."""

    def terminate(self) -> None:
        """Ask it to end; never fails."""


class Engine(Protocol):
    """What makes containers, and removes each at the end of its ``with``."""

    def container(self, spec: RunSpec) -> AbstractContextManager[Container]:
        """One that is not started yet."""


@dataclass(frozen=True)
class _Done:
    """A listener's last message: its container has ended, or the listener itself broke."""

    index: int
    ended: Ended | BaseException


_Inbox = SimpleQueue[Event | _Done | signal.Signals]


@dataclass(frozen=True)
class Limits:
    """How many containers run at a time (None: all), and for how many seconds a run may go on (None: any).

    ``grace`` is for how many seconds a container that was asked to stop may take.
    """

    parallel: int | None = None
    seconds: float | None = None
    grace: float = GRACE_SECONDS


def run(
    engine: Engine,
    jobs: Sequence[Job],
    display: Display,
    limits: Limits = Limits(),
    earlier: SimpleQueue[signal.Signals] | None = None,
) -> tuple[Ended, ...]:
    """Run every job's container to its end and remove it, whatever happens; the ends, in the order of ``jobs``.

    What has not ended when the time is up is stopped, and lost. ``earlier`` has the signals that came before. Raises
    EngineError when one cannot be made or started (then none is left running), Stopped on a signal.
    """
    inbox: _Inbox = SimpleQueue()
    names, kept = tuple(job.spec.name for job in jobs), any(job.spec.run.keep for job in jobs)
    with delivered_to(inbox.put):
        if earlier and not earlier.empty():
            raise Stopped(earlier.get())
        with ExitStack() as stack:
            containers = [stack.enter_context(engine.container(job.spec)) for job in jobs]
            with display:
                heard = _listen(containers, inbox, display, limits)
        if isinstance(heard, signal.Signals):  # only out here is it true that they are removed
            raise Stopped(heard, f"{'kept' if kept else 'removed'} {', '.join(names)}")
        return heard


def _listen(
    containers: Sequence[Container], inbox: _Inbox, display: Display, limits: Limits
) -> tuple[Ended, ...] | signal.Signals:
    """Start them and hear them to their ends, to a signal, or until the time is up."""
    until = time.monotonic() + (limits.seconds or float("inf"))
    waiting = deque(enumerate(containers))
    ended: dict[int, Ended] = {}
    while len(ended) < len(containers):
        while waiting and len(containers) - len(waiting) - len(ended) < (limits.parallel or len(containers)):
            _start(*waiting.popleft(), inbox)
        started = list(enumerate(containers))[: len(containers) - len(waiting)]
        running = [container for index, container in started if index not in ended]
        message = _next(inbox, TICK_SECONDS)
        if isinstance(message, signal.Signals):
            _stop(running, message.name, inbox, display, limits.grace)
            return message
        if isinstance(message, _Done):
            if isinstance(message.ended, BaseException):
                raise message.ended
            ended[message.index] = message.ended
        elif message:
            display.event(message)
        if time.monotonic() >= until:
            _stop(running, "time is up", inbox, display, limits.grace)
            break
        display.tick([container.name for index, container in started if index not in ended])
    return tuple(ended.get(index) or Ended(lost=_timed_out(limits)) for index in range(len(containers)))


def _start(index: int, container: Container, inbox: _Inbox) -> None:
    container.start()
    # A daemon, because after a signal a hanging engine must not keep the process from ending.
    threading.Thread(target=_follow, args=(index, container, inbox), name=container.name, daemon=True).start()


def _timed_out(limits: Limits) -> WeightdockError:
    return WeightdockError(
        f"ended after {limits.seconds:g} s, before there was a report",
        cause="--timeout ended the run; models that were finished by then are in place",
        next="run the same command again: it finds them, and goes on where this run stopped; or give it more time",
    )


def _follow(index: int, container: Container, inbox: _Inbox) -> None:
    output = Output(inbox.put)
    try:
        for stdout, stderr in container.output():
            output.feed(stdout, stderr)
        output.finish()
        exit = container.wait()
        inbox.put(_Done(index, Ended(exit, output.report, output.tail, output.foreign_schema)))
    except WeightdockError as error:
        inbox.put(_Done(index, Ended(report=output.report, tail=output.tail, lost=error)))
    except BaseException as error:  # noqa: BLE001  # the main thread raises it: it would wait for ever otherwise
        inbox.put(_Done(index, error))


def _stop(running: Sequence[Container], why: str, inbox: _Inbox, display: Display, grace: float) -> None:
    """Ask what runs to end, wait a little (a second signal: not at all), and leave the rest to the ``with``."""
    display.say(f"{why}: stopping {', '.join(one.name for one in running)} (once more: without waiting)")
    for container in running:
        container.terminate()
    waiting, until = len(running), time.monotonic() + grace
    while waiting and (left := until - time.monotonic()) > 0:
        message = _next(inbox, left)
        if isinstance(message, signal.Signals):
            return
        waiting -= isinstance(message, _Done)


def _next(inbox: _Inbox, seconds: float) -> Event | _Done | signal.Signals | None:
    """The next message, or None after ``seconds``. In steps, because on Windows a long wait hears no Ctrl-C."""
    try:
        return inbox.get(timeout=min(seconds, TICK_SECONDS))
    except Empty:
        return None
