"""One command's work on a Swarm, from its services to their reports; whatever ends it, nothing of it stays."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from weightdock import report
from weightdock.report import RunReport
from weightdock.upload.share import shares
from weightdock_driver import cache_rights, display, run, swarm_engine, swarm_nodes, verdict
from weightdock_driver.engine import Engine
from weightdock_driver.jobs import Job
from weightdock_driver.options import tell
from weightdock_driver.run import Limits
from weightdock_driver.run_spec import Run
from weightdock_driver.signals import Stopped, delivered_to
from weightdock_driver.swarm_nodes import NodeResult
from weightdock_driver.swarm_spec import Service
from weightdock_driver.verdict import Ended


class Session:
    """A connection to a manager, for one command. Raises EngineError where the engine is none."""

    def __init__(self, this: Run, quiet: bool, timeout: float | None, parallel: int | None = None) -> None:
        self._run = this
        self._quiet = quiet
        self._limits = Limits(parallel, timeout)
        self._signals: SimpleQueue[signal.Signals] = SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            # Around everything: a signal must not fall between a secret and its removal.
            stack.enter_context(delivered_to(self._signals.put))
            self._engine = stack.enter_context(Engine())
            for name in swarm_engine.remove_abandoned(self._engine.swarm) + self._engine.remove_abandoned():
                tell(f"removed {name}: its driver was killed", self._quiet)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if not self._signals.empty() and error is None:
            raise Stopped(self._signals.get())

    def here(self, jobs: Sequence[Job]) -> RunReport:
        """The jobs as containers of this manager."""
        ended = run.run(self._engine, jobs, display.Quiet(), self._limits, self._signals)
        return report.merge(self._reports(jobs, ended))

    def on_swarm(self, services: Sequence[Service]) -> list[RunReport]:
        """The services, to their ends; a report of each."""
        return [ended for ended, _ in self._on_swarm(services)]

    def on_nodes(self, job: Job, constraints: Sequence[str]) -> list[NodeResult]:
        """``job`` on each node that meets the constraints, as a global job of its own: so a few at a time is possible.

        One global job for all would begin everywhere at once: Swarm limits replicated jobs only.
        """
        found = swarm_nodes.Nodes.of(self._engine.swarm.nodes()).that_meet(constraints)
        able = [node for node in found if node.is_ready and node.is_active]
        services = [
            Service(
                replace(job, spec=replace(job.spec, name=f"{job.spec.name}-{node.id[:8]}")),
                (job.models,),
                (*constraints, f"node.id=={node.id}"),
                node.hostname,
            )
            for node in able
        ]
        ended = zip(able, self._on_swarm(services), strict=True)
        filled = {node.id: NodeResult(node.hostname, of_node, seconds) for node, (of_node, seconds) in ended}
        return [filled.get(node.id) or swarm_nodes.unreachable(node) for node in found]

    def _on_swarm(self, services: Sequence[Service]) -> list[tuple[RunReport, float]]:
        if not services:
            return []
        jobs = [service.job for service in services]
        with swarm_engine.swarm(self._engine, services, self._run) as engine:
            shown = display.for_stderr(sys.stderr, quiet=self._quiet)
            ended = run.run(engine, jobs, shown, self._limits, self._signals)
            seconds = [engine.services[service.name].seconds for service in services]
        return list(zip(self._reports(jobs, ended), seconds, strict=True))

    def _reports(self, jobs: Sequence[Job], ended: Sequence[Ended]) -> list[RunReport]:
        for job, end in zip(jobs, ended, strict=True):
            tell(verdict.last_words(job, end))
        # The nodes' engines are taken to map users as this one does: they say nothing of it.
        users, ends = self._engine.users, zip(jobs, ended, strict=True)
        return [
            cache_rights.explained(verdict.report_of(job, end), job.spec, users, "each of these nodes")
            for job, end in ends
        ]


def shared_out(jobs: Sequence[Job], tasks: int) -> list[Service]:
    """Each job in up to ``tasks`` shares: no more than it has models."""
    return [Service(job, shares(job.models, min(tasks, len(job.models)))) for job in jobs]
