"""Docker Swarm as the engine: a service with all its tasks stands where a container stands on one host.

It speaks the same lines: its tasks' events as they come and, once every share has ended, one report of all. So
:mod:`weightdock_driver.run` and the displays need not know that there is a fleet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from weightdock.errors import WeightdockError
from weightdock.events import Event
from weightdock_driver import leftovers, swarm_spec
from weightdock_driver.engine import Engine, Kind, Swarm
from weightdock_driver.run_spec import DRIVER_LABEL, Run, RunSpec
from weightdock_driver.swarm_logs import ServiceLog
from weightdock_driver.swarm_nodes import NodeProgress, Nodes
from weightdock_driver.swarm_report import merged
from weightdock_driver.swarm_spec import Service, Substitute
from weightdock_driver.swarm_tasks import Task, Watch
from weightdock_driver.verdict import Exit

_log = logging.getLogger("weightdock_driver")

_LOOK_SECONDS = 1.0
"""How often the tasks are asked for. It costs about 10 ms of the driver's CPU."""

_LAG_SECONDS = 3.0
"""How long a report may stay on its way after its task has ended; then the log is read anew, whole."""

_READINGS = 10
"""How often it is read: a node that has just come back does not hand out its logs at once (12 s were too few once)."""

_ENDING_SECONDS = 8.0
"""How long tasks of a removed service may take to end: their grace of 5 s, and some for Swarm."""


@contextmanager
def swarm(engine: Engine, services: Sequence[Service], run: Run) -> Iterator[SwarmEngine]:
    """What makes these services, with their keys and CA bundle on the Swarm; removed at the end of the ``with``."""
    stored: dict[str, str] = {}
    with ExitStack() as stack:
        for kind, name, content in _to_store(services, run):
            stack.callback(engine.swarm.remove, kind, name)
            stored[name] = engine.swarm.store(kind, name, content, run.labels)
        yield SwarmEngine(engine, services, stored)


def remove_abandoned(swarm: Swarm) -> tuple[str, ...]:
    """Remove the services, secrets and configs of drivers of this host that were killed; gives their names."""
    kinds: tuple[Kind, ...] = ("service", "secret", "config")
    found = [
        (kind, name)
        for kind in kinds
        for name, driver in swarm.labelled(kind, DRIVER_LABEL).items()
        if leftovers.is_abandoned(driver)
    ]
    for kind, name in found:
        swarm.remove(kind, name)
    return tuple(name for _, name in found)


class SwarmEngine:
    """Gives each job of a run its service."""

    def __init__(self, engine: Engine, services: Sequence[Service], stored: Mapping[str, str]) -> None:
        self._swarm = engine.swarm
        self.services = {one.name: RunningService(engine, one, stored) for one in services}

    @contextmanager
    def container(self, spec: RunSpec) -> Iterator[RunningService]:
        """The service of ``spec``, not yet made; removed at the end of the ``with``, and its tasks with it."""
        service = self.services[spec.name]
        try:
            yield service
        finally:
            service.remove()


class RunningService:
    """One service: :class:`weightdock_driver.run.Container`. ``seconds`` is how long it took, once it has ended."""

    def __init__(self, engine: Engine, service: Service, stored: Mapping[str, str]) -> None:
        self.name = service.name
        self.seconds = 0.0
        self._engine = engine
        self._swarm = engine.swarm
        self._service = service
        self._stored = stored
        self._told_to_end = threading.Event()
        # Of a service that is just being made nothing can be removed yet: who removes waits until it is there.
        self._making = threading.Lock()
        self._frames: SimpleQueue[bytes] = SimpleQueue()
        self._log = ServiceLog()
        self._watch = self._new_watch()
        self._made: dict[str, int | None] = {}
        self._awaited: dict[str, int] = {}
        self._whole = False

    def start(self) -> None:
        """Nothing: :meth:`output` makes the service, in the thread that listens to it."""

    def output(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """The tasks' events, and at the end what those said that failed, and one report."""
        began = time.monotonic()
        progress = NodeProgress(self._service.node, len(self._service.job.models)) if self._service.node else None
        image = self._engine.fixed_image(self._service.job.spec.image)
        self._begin(image)
        self._watch = self._new_watch()
        while not self._watch.settled:
            for event in self._hear(_LOOK_SECONDS):
                yield (progress.of(event) if progress else event).to_json().encode() + b"\n", None
            if self._told_to_end.is_set():
                return
            self._look()
            for share in self._without_task():
                self._begin(image, Substitute(f"{self.name}-{len(self._made)}", share))
        self._whole = self._watch.all_done
        self._catch_up()
        self.seconds = time.monotonic() - began
        report, said = merged(self._service, self._watch, self._log.outputs, Nodes.of(self._swarm.nodes()).names)
        if said:
            yield None, "\n".join([*said, ""]).encode()
        yield report.to_json().encode() + b"\n", None

    def wait(self) -> Exit:
        """A service has no status of its own; its report says how it went."""
        return Exit(0)

    def terminate(self) -> None:
        """Stop listening; the service goes at the end of the ``with``."""
        self._told_to_end.set()

    def remove(self) -> None:
        """Remove it, and wait until its tasks are gone, unless all had ended well or their node does not answer."""
        self.terminate()
        with self._making:
            for name in self._made or (self.name,):
                self._swarm.remove("service", name)
        until = time.monotonic() + (0 if self._whole else _ENDING_SECONDS)
        while time.monotonic() < until and self._swarm.still_there(self._watch.tasks):
            time.sleep(_LOOK_SECONDS / 4)

    def _new_watch(self) -> Watch:
        return Watch(len(self._service.shares), time.monotonic(), on_one_node=self._service.node is not None)

    def _begin(self, image: str, instead: Substitute | None = None) -> None:
        name = instead.name if instead else self.name
        with self._making:
            if self._told_to_end.is_set():
                return
            self._made[name] = instead.share if instead else None  # before it is: a call that fails may have made it
            if instead:
                self._awaited[name] = instead.share
            self._swarm.make_service(swarm_spec.arguments(self._service, image, self._stored, instead), image)
        threading.Thread(target=self._follow, args=[name], name=f"{name} log", daemon=True).start()

    def _follow(self, name: str) -> None:
        """Frames of the log into the queue, until the service is gone. Losing some costs progress, never a report."""
        since = 0
        while not self._told_to_end.is_set():
            try:
                for frame in self._swarm.log(name, follow=True, since=since):
                    self._frames.put(frame)
            except WeightdockError as error:
                _log.debug("the log of %s broke off: %s", name, error)
            since = int(time.time())
            self._told_to_end.wait(_LOOK_SECONDS)

    def _hear(self, seconds: float) -> Iterator[Event]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._told_to_end.is_set():
            with suppress(Empty):
                yield from self._log.feed(self._frames.get(timeout=min(left, _LOOK_SECONDS / 4)))

    def _without_task(self) -> list[int]:
        """The shares that need a substitute: Swarm takes its time to show the task of one that was just made."""
        if self._service.node is not None:  # another node is no substitute
            return []
        return [share for share in self._watch.stranded if share not in self._awaited.values()]

    def _look(self) -> None:
        tasks: list[Task] = []
        for name, share in self._made.items():
            found = [Task.of(one, share) for one in self._swarm.tasks(name)]
            if found:
                self._awaited.pop(name, None)
            tasks += found
        self._watch.see(tasks, Nodes.of(self._swarm.nodes()).ready, self._log.reported, time.monotonic())

    def _catch_up(self) -> None:
        """Have the reports of all tasks that ended: those still on their way, else from the whole log."""
        last = {tasks[-1].id for tasks in map(self._watch.ended, range(len(self._service.shares))) if tasks}
        for _ in range(_READINGS):
            until = time.monotonic() + _LAG_SECONDS
            while not self._log.reported.issuperset(last) and time.monotonic() < until:
                list(self._hear(_LOOK_SECONDS / 4))
            if self._log.reported.issuperset(last):
                return
            whole = ServiceLog()
            for name in self._made:
                for frame in self._swarm.log(name):
                    whole.feed(frame)
            self._log = whole


def _to_store(services: Sequence[Service], run: Run) -> list[tuple[Kind, str, bytes]]:
    """Kind, name and content of what the services need on the Swarm, each once."""
    found: dict[str, tuple[Kind, str, bytes]] = {}
    for service in services:
        for variable in swarm_spec.secrets(service):
            name = swarm_spec.stored_name(run, variable.name)
            found[name] = ("secret", name, variable.value.encode())
        for mount in service.job.spec.mounts:
            if mount.of_this_machine:
                name = swarm_spec.stored_name(run, mount.target.rpartition("/")[2])
                found[name] = ("config", name, Path(mount.source).read_bytes())
    return list(found.values())
