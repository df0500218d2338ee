"""What became of a container, as a report: its own where it gave one, else a failure of every model it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weightdock.errors import CONTINUED, EngineError, ExitCode, WeightdockError, of_kind
from weightdock.events import SCHEMA
from weightdock.report import ModelResult, Outcome, RunReport
from weightdock_driver import images
from weightdock_driver.jobs import Job

_KILLED = 137  # 128 + SIGKILL, as a shell and the engine say it
_PARTS = ("error: ", "cause: ", "next: ")
_OTHER_CATALOGUE = (  # as weightdock says it, there,
    "unknown model ",  # of a name that this catalogue has,
    "another catalogue ",  # of one with the same names and another lock,
    "No such option: --catalogue",  # or knows nothing of that
)
RERUN = "run the same command again: it goes on where this run stopped"


@dataclass(frozen=True)
class Exit:
    """How a container's process ended, as the engine says it."""

    status: int
    out_of_memory: bool = False


@dataclass(frozen=True)
class Ended:
    """A container that has ended. ``lost`` says why the engine could not tell how; then ``exit`` means nothing."""

    exit: Exit = Exit(0)
    report: RunReport | None = None
    tail: tuple[str, ...] = ()
    foreign_schema: int | None = None
    lost: WeightdockError | None = None


def report_of(job: Job, ended: Ended) -> RunReport:
    """A row for every model of the job."""
    if ended.report is not None:
        return _completed(job, ended.report)
    error = ended.lost or said(ended) or _unexplained(job, ended)
    if error.what.startswith(_OTHER_CATALOGUE):
        error = _too_old(job)
    return RunReport(
        tuple(ModelResult(spec.model, spec.key(job.prefix), Outcome.FAILED, error=error) for spec in job.models)
    )


def _too_old(job: Job) -> EngineError:
    return EngineError(
        f"{job.spec.image} has another catalogue than this driver",
        cause="it was built before models.toml or models.lock changed",
        next=images.remake(job.spec.image),
    )


def _completed(job: Job, report: RunReport) -> RunReport:
    """The report, with a failure for each model that the container does not know: its image is older than we are."""
    known = {result.model for result in report.results}
    error = _too_old(job)
    missing = [spec for spec in job.models if spec.model not in known]
    rows = (ModelResult(spec.model, spec.key(job.prefix), Outcome.FAILED, error=error) for spec in missing)
    return report._replace(results=(*report.results, *rows))


def last_words(job: Job, ended: Ended) -> str:
    """What to show of a container that failed, or had a model fail; empty where there is no more to say."""
    failed = ended.report is None or ended.report.exit_code is not ExitCode.DONE
    if not failed or not ended.tail or said(ended):
        return ""
    return "\n".join([f"last lines of {job.spec.image} ({job.spec.name}):", *(f"  {line}" for line in ended.tail)])


def said(ended: Ended) -> WeightdockError | None:
    """The error with which a container's command ended, when it ended the way our commands do.

    A wrong secret or a missing bucket ends a run before there is a report: then the message and the exit code are the
    container's, and the driver must not turn them into a fault of the engine.
    """
    if not ExitCode.SOME_FAILED <= ended.exit.status <= ExitCode.ENGINE:
        return None
    starts = [index for index, line in enumerate(ended.tail) if line.startswith(_PARTS[0])]
    parts = _three_parts(ended.tail[starts[-1] :]) if starts else ()
    if len(parts) != len(_PARTS):
        return None
    return of_kind(ended.exit.status, parts[0], cause=parts[1], next=parts[2])


def _three_parts(lines: Sequence[str]) -> tuple[str, ...]:
    """``error:``, ``cause:`` and ``next:``, in this order, each perhaps of several lines."""
    parts: list[str] = []
    for line in lines:
        expected = _PARTS[len(parts)] if len(parts) < len(_PARTS) else None
        if expected and line.startswith(expected):
            parts.append(line.removeprefix(expected))
        elif parts:
            parts[-1] += f"\n{line.removeprefix(CONTINUED)}"
    return tuple(parts)


def _unexplained(job: Job, ended: Ended) -> EngineError:
    what = f"{job.spec.image} ended without a report, with exit status {ended.exit.status}"
    if ended.foreign_schema is not None:
        return EngineError(
            what,
            cause=f"it speaks version {ended.foreign_schema} of our event lines, and this driver version {SCHEMA}",
            next=images.remake(job.spec.image),
        )
    if ended.exit.out_of_memory:
        most = f"{job.spec.memory_bytes / (1 << 30):g}g"
        return EngineError(
            what,
            cause=f"the kernel ended it for lack of memory, of which it may have {most}",
            next=f"give it more (WEIGHTDOCK_MEMORY=…), or where the machine has no more free some; then {RERUN}",
        )
    if ended.exit.status == _KILLED:
        return EngineError(what, cause="something killed it (SIGKILL), by hand or for lack of memory", next=RERUN)
    return EngineError(
        what,
        cause="its last lines, on stderr, are all that is known" if ended.tail else "it printed nothing",
        next=f"{RERUN}; if it stays so, {images.remake(job.spec.image)}, and report the last lines",
    )
