"""What Swarm says of a job's tasks, and when a job has ended. Pure: a clock is given.

A share may have several tasks, one after the other: Swarm starts another when one dies. When a task's node is lost it
does not, for jobs (26.1): the driver makes a substitute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from weightdock_driver.engine_errors import NO_FOLDER

DEATHS = 3
"""How often a share's task may die without a report before the share is given up."""

PATIENCE_SECONDS = 60.0
"""How long a share may have no task on a node that answers. Swarm itself needs about 20 to see that a node is lost."""


class Phase(StrEnum):
    """What a task's state means to us."""

    WAITING = "waiting"
    ALIVE = "alive"
    DONE = "done"
    DEAD = "dead"
    GONE = "gone"


_PHASES = {
    **dict.fromkeys(("new", "pending"), Phase.WAITING),
    **dict.fromkeys(("assigned", "accepted", "preparing", "ready", "starting", "running"), Phase.ALIVE),
    "complete": Phase.DONE,
    **dict.fromkeys(("failed", "rejected"), Phase.DEAD),
}  # and what Swarm ended itself: shutdown, orphaned, remove


@dataclass(frozen=True)
class Task:
    """A task as the engine's API gives it. ``error`` is Swarm's own word on what is wrong, or empty.

    ``ran`` is False of one that its node rejected: that had no container, and will never give a report.
    """

    id: str
    share: int
    node: str
    phase: Phase
    error: str
    status: int
    created: str
    ran: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], share: int | None = None) -> Task:
        """Read one, of ``share`` or else of its slot, which is missing for slot 0 and for the tasks of global jobs."""
        state = given["Status"]
        container = state.get("ContainerStatus") or {}
        return cls(
            id=given["ID"],
            share=given.get("Slot", 0) if share is None else share,
            node=given.get("NodeID", ""),
            phase=_PHASES.get(state["State"], Phase.GONE),
            error=state.get("Err", ""),
            status=container.get("ExitCode") or 0,
            created=given["CreatedAt"],
            ran=state["State"] != "rejected",
        )


class Watch:
    """Follows a job's shares until each has ended: well, with a report of failures, or not at all.

    ``on_one_node``: a share's tasks all run there, so that what the node does not have no other task will find.
    """

    def __init__(self, count: int, now: float, on_one_node: bool = False) -> None:
        self._on_one_node = on_one_node
        self._last_alive = [now] * count
        self._tasks: dict[str, Task] = {}
        self._reported: Collection[str] = ()
        self._ready: Collection[str] = ()
        self._now = now

    def see(self, tasks: Sequence[Task], ready: Collection[str], reported: Collection[str], now: float) -> None:
        """The tasks as they are, the nodes that answer, the tasks that gave a report, and the time."""
        # Swarm forgets old tasks of a share; what they were still counts.
        self._tasks.update((task.id, task) for task in tasks)
        self._reported, self._ready, self._now = reported, ready, now
        for task in tasks:
            if task.phase is Phase.ALIVE and task.node in ready:
                self._last_alive[task.share] = now

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be waited for."""
        return all(map(self._is_settled, range(len(self._last_alive))))

    @property
    def tasks(self) -> Collection[str]:
        """The ids of all that were seen."""
        return self._tasks.keys()

    @property
    def stranded(self) -> tuple[int, ...]:
        """The shares whose task is on a node that does not answer, and that have no other."""
        newest = {share: tasks[-1] for share in range(len(self._last_alive)) if (tasks := self.of(share))}
        return tuple(
            share
            for share, task in newest.items()
            if task.phase in (Phase.ALIVE, Phase.GONE) and task.node not in self._ready and not self._is_settled(share)
        )

    @property
    def all_done(self) -> bool:
        """Whether every share ended well, so that Swarm begins none again."""
        return all(any(task.phase is Phase.DONE for task in self.of(index)) for index in range(len(self._last_alive)))

    def of(self, share: int) -> list[Task]:
        """The share's tasks, oldest first."""
        return sorted((task for task in self._tasks.values() if task.share == share), key=lambda task: task.created)

    def ended(self, share: int) -> list[Task]:
        """Those that came to an end of their own, whose reports can be had."""
        return [task for task in self.of(share) if task.phase in (Phase.DONE, Phase.DEAD) and task.ran]

    def deaths(self, share: int) -> list[Task]:
        """Those that died and left no report."""
        return [task for task in self.of(share) if task.phase is Phase.DEAD and task.id not in self._reported]

    def _is_settled(self, share: int) -> bool:
        tasks = self.of(share)
        ended = any(
            task.phase is Phase.DONE or (task.phase is Phase.DEAD and task.id in self._reported) for task in tasks
        )
        deaths = self.deaths(share)
        hopeless = self._on_one_node and any(NO_FOLDER in task.error for task in deaths)
        patient = self._now - self._last_alive[share] < PATIENCE_SECONDS
        return ended or hopeless or len(deaths) >= DEATHS or not patient
