"""What a run did, as a value; rendered as a table for people or as JSON for machines.

The same rows serve both journeys, and the driver merges the reports of its containers into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from weightdock.artifact import Digest, ModelId
from weightdock.errors import ExitCode, WeightdockError, of_kind, printable
from weightdock.events import SCHEMA, megabytes


class Outcome(StrEnum):
    """How one model ended, or is going to, in the words of the table."""

    PLANNED = "would upload"
    REPLACEABLE = "would replace"
    ADOPTABLE = "would adopt"
    MISSING = "missing in R2, would upload"
    UNKNOWN = "unknown in R2"
    DIFFERS = "differs"
    DENIED = "denied by licence"
    UPLOADED = "uploaded"
    REPLACED = "replaced"
    ADOPTED = "adopted"
    PRESENT = "Already exists in R2"
    FETCHED = "fetched"
    CACHED = "in the cache"
    VERIFIED = "verified"
    REMOVABLE = "would remove"
    REMOVED = "removed"
    FAILED = "failed"


_WORK = (Outcome.PLANNED, Outcome.REPLACEABLE, Outcome.ADOPTABLE, Outcome.MISSING)


class Operations(NamedTuple):
    """Billed requests: class A writes and lists, class B reads (https://developers.cloudflare.com/r2/pricing/)."""

    class_a: int
    class_b: int

    @property
    def dollars(self) -> float:
        """Their price, beyond what is free each month."""
        return (self.class_a * 4.50 + self.class_b * 0.36) / 1e6


class ModelResult(NamedTuple):
    """One model's end. ``size_bytes`` and ``sha256`` are None where they are not known (a plan, a failure).

    ``licence`` is empty where it is not known. A ``warning`` is no error: the model is mirrored.
    """

    model: ModelId
    key: str
    outcome: Outcome
    size_bytes: int | None = None
    sha256: Digest | None = None
    source: str = ""
    seconds: float = 0.0
    error: WeightdockError | None = None
    licence: str = ""
    warning: str = ""

    @property
    def is_work(self) -> bool:
        """Whether a plan leaves it to be done."""
        return self.outcome in _WORK


class RunReport(NamedTuple):
    """Every model of a run, in the order of the catalogue; a plan also has the ``operations`` it is going to take."""

    results: tuple[ModelResult, ...]
    operations: Operations | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The worst of the run."""
        return max((result.error.exit_code for result in self.results if result.error), default=ExitCode.DONE)

    @property
    def has_work(self) -> bool:
        """Whether a plan leaves something to be done."""
        return any(one.is_work for one in self.results)

    def to_json(self) -> str:
        """One line: also the last event of a container."""
        return json.dumps(
            {
                "weightdock": SCHEMA,
                "event": "report",
                "exit_code": self.exit_code,
                "results": [_row(result) for result in self.results],
                "operations": self.operations._asdict() if self.operations else None,
            }
        )


def from_json(line: dict[str, object]) -> RunReport:
    """The report of a parsed line. Raises KeyError, TypeError or ValueError when it is none."""
    rows = line["results"]
    if not isinstance(rows, list):
        raise TypeError("results is not a list")
    operations = line.get("operations")
    if not isinstance(operations, dict):
        return RunReport(tuple(_result(row) for row in rows))
    return RunReport(tuple(_result(row) for row in rows), Operations(**operations))


def merge(reports: Iterable[RunReport]) -> RunReport:
    """One report of several."""
    merged = tuple(reports)
    counted = [report.operations for report in merged if report.operations]
    results = tuple(result for report in merged for result in report.results)
    if not counted:
        return RunReport(results)
    return RunReport(results, Operations(*map(sum, zip(*counted, strict=True))))


def table(report: RunReport) -> str:
    """A run for people: a row per model, then each error in full, then one line of totals."""
    rows = [("MODEL", "RESULT", "SIZE", "SHA256", "FROM", "SECONDS")]
    rows += [
        (str(one.model), one.outcome, _size(one), _digest(one), one.source or "-", _seconds(one))
        for one in report.results
    ]
    return "\n\n".join([aligned(rows, right=(2, 5)), *_warnings(report), *_errors(report), totals(report)])


def plan_table(report: RunReport) -> str:
    """A dry run for people: a row per key, with licences as soon as one is known."""
    rows: list[tuple[str, ...]] = [("KEY", "PLAN", "SIZE", "SHA256", "LICENCE")]
    rows += [(one.key, one.outcome, _size(one), _digest(one), one.licence or "-") for one in report.results]
    if not any(one.licence for one in report.results):
        rows = [row[:-1] for row in rows]
    return "\n\n".join([aligned(rows, right=(2,)), *_warnings(report), *_errors(report), totals(report)])


def totals(report: RunReport) -> str:
    """``8 models: 5 uploaded, 3 Already exists in R2 · 797.1 MB``; a plan of unknown files has no size."""
    counts = dict.fromkeys(Outcome, 0)
    for result in report.results:
        counts[result.outcome] += 1
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    sizes = [result.size_bytes for result in report.results if result.size_bytes is not None]
    plural = "" if len(report.results) == 1 else "s"
    amount = f" · {megabytes(sum(sizes))}" if sizes else ""
    billed = ""
    if report.operations:
        a, b, dollars = report.operations.class_a, report.operations.class_b, report.operations.dollars
        billed = f" · {a} class A and {b} class B operations, ${dollars:.6f}"
    return f"{len(report.results)} model{plural}: {said or 'nothing to do'}{amount}{billed}"


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows as columns of equal width, two spaces apart; the columns in ``right`` are flush right."""
    rows = [[printable(cell.replace("\n", " ")) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _size(result: ModelResult) -> str:
    return "-" if result.size_bytes is None else megabytes(result.size_bytes)


def _digest(result: ModelResult) -> str:
    return result.sha256.short if result.sha256 else "-"


def _seconds(result: ModelResult) -> str:
    return f"{result.seconds:.1f}" if result.seconds else "-"


def _warnings(report: RunReport) -> list[str]:
    lines = [printable(f"warning: {result.model}: {result.warning}") for result in report.results if result.warning]
    return ["\n".join(lines)] if lines else []


def _errors(report: RunReport) -> list[str]:
    """Each error once, under the names of the models that it failed: a wrong secret fails all of them."""
    models: dict[str, list[str]] = {}
    for result in report.results:
        if result.error:
            models.setdefault(str(result.error), []).append(str(result.model))
    return [f"{', '.join(names)}\n{error}" for error, names in models.items()]


def _row(result: ModelResult) -> dict[str, object]:
    error = result.error
    return {
        "model": str(result.model),
        "key": result.key,
        "outcome": result.outcome,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256.hex if result.sha256 else None,
        "source": result.source,
        "seconds": round(result.seconds, 3),
        "licence": result.licence,
        "warning": result.warning,
        "error": error and error.fields,
    }


def _result(row: object) -> ModelResult:
    if not isinstance(row, dict):
        raise TypeError("a result is not an object")
    size, sha256, error = row["size_bytes"], row["sha256"], row["error"]
    return ModelResult(
        model=ModelId.parse(row["model"]),
        key=row["key"],
        outcome=Outcome(row["outcome"]),
        size_bytes=None if size is None else int(size),
        sha256=None if sha256 is None else Digest(sha256),
        source=row["source"],
        seconds=float(row["seconds"]),
        licence=str(row["licence"]),
        warning=str(row["warning"]),
        error=None if error is None else of_kind(**error),
    )
