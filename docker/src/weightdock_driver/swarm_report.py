"""One report of a service's shares: each share's own, and a failure for every model of a share that gave none."""

from __future__ import annotations

from collections.abc import Mapping

from weightdock.artifact import ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import EngineError, WeightdockError
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock_driver import engine_errors, verdict
from weightdock_driver.stream import Output
from weightdock_driver.swarm_spec import Service
from weightdock_driver.swarm_tasks import PATIENCE_SECONDS, Phase, Task, Watch
from weightdock_driver.verdict import RERUN, Ended, Exit

_DONE = (Outcome.UPLOADED, Outcome.REPLACED, Outcome.ADOPTED, Outcome.FETCHED)
_FOUND = (Outcome.PRESENT, Outcome.CACHED)


def merged(
    service: Service, watch: Watch, outputs: Mapping[str, Output], hostnames: Mapping[str, str]
) -> tuple[RunReport, tuple[str, ...]]:
    """The report, in the order of the job's models, and the last lines of the tasks that failed.

    A share that began again counts as it ended; what an earlier task of it had done is not called found.
    """
    rows: dict[ModelId, ModelResult] = {}
    said: list[str] = []
    for share, models in enumerate(service.shares):
        tasks = watch.of(share)
        for task in tasks:
            output = outputs.get(task.id)
            for row in output.report.results if output and output.report else ():
                rows[row.model] = _later(rows.get(row.model), row)
            if task.phase is Phase.DEAD and output and output.tail:
                said += [f"task {share} on {hostnames.get(task.node, task.node)}:", *(f"  {x}" for x in output.tail)]
        error = _lost(service, share, tasks, outputs, hostnames)
        for spec in models:
            rows.setdefault(spec.model, _failed(service, spec, error))
    return RunReport(tuple(rows[spec.model] for spec in service.job.models)), tuple(said)


def _later(before: ModelResult | None, now: ModelResult) -> ModelResult:
    return before if before and before.outcome in _DONE and now.outcome in _FOUND else now


def _failed(service: Service, spec: ModelSpec, error: WeightdockError) -> ModelResult:
    return ModelResult(spec.model, spec.key(service.job.prefix), Outcome.FAILED, error=error)


def _lost(
    service: Service, share: int, tasks: list[Task], outputs: Mapping[str, Output], hostnames: Mapping[str, str]
) -> WeightdockError:
    """Why a share gave no report: in its own words where it had some, else in Swarm's."""
    what = f"share {share} of {len(service.shares)} of {service.job.spec.image} was not finished"
    if service.node:
        what = f"node {service.node} was not filled"
    if not tasks:
        return EngineError(what, cause="Swarm made no task for it", next=f"docker service ps {service.name}; {RERUN}")
    last = next((task for task in reversed(tasks) if task.phase is Phase.DEAD), tasks[-1])
    output = outputs.get(last.id)
    if output and (error := verdict.said(Ended(Exit(last.status), tail=output.tail))):
        return error
    node = hostnames.get(last.node, last.node) or "no node"
    if "no such image" in last.error.lower():
        return EngineError(
            what,
            cause=f"{node} has no image {service.job.spec.image}: {last.error}",
            next="spread it: docker save … | ssh NODE docker load, or a registry (docs/fleet.md)",
        )
    if error := engine_errors.known(f"on {node}: {last.error}", service.job.spec.image):
        return error
    if last.phase is Phase.DONE:
        return EngineError(
            f"the report of {service.name} was lost",
            cause=f"its task on {node} ended well, and its log cannot be read",
            next="run the same command again: what is done is found, and costs nothing",
        )
    if last.phase is Phase.DEAD:
        return EngineError(what, cause=f"its task on {node} ended: {last.error}", next=RERUN)
    return EngineError(
        what,
        cause=last.error or f"its task's node, {node}, has not answered for {PATIENCE_SECONDS:.0f} s",
        next=f"see `docker node ls`; then {RERUN}",
    )
