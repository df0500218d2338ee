"""The log of a whole service, told apart by task: each task's lines go to an :class:`~weightdock_driver.stream.Output`.

The engine sends frames that begin with ``com.docker.swarm.node.id=…,com.docker.swarm.task.id=… `` and hold a line, or
16 KiB of a longer one: then the rest comes in the task's next frame.
"""

from __future__ import annotations

from weightdock.events import Event
from weightdock_driver.stream import Output

_TASK = b"com.docker.swarm.task.id="


class ServiceLog:
    """What the tasks of a service said so far."""

    def __init__(self) -> None:
        self.outputs: dict[str, Output] = {}
        self._events: list[Event] = []

    def feed(self, frame: bytes) -> list[Event]:
        """Take a frame; gives the events in it."""
        details, _, text = frame.partition(b" ")
        task = next((one.removeprefix(_TASK) for one in details.split(b",") if one.startswith(_TASK)), b"").decode()
        if not task:
            return []  # the engine's own remark, such as that a node does not answer
        if task not in self.outputs:
            self.outputs[task] = Output(self._events.append)
        # Both streams as one: a line that is no event is kept, whichever it came from.
        self.outputs[task].feed(text, None)
        heard, self._events[:] = list(self._events), []
        return heard

    @property
    def reported(self) -> set[str]:
        """The tasks that gave a report."""
        return {task for task, output in self.outputs.items() if output.report}
