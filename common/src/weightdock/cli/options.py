"""What several commands share: options, the observer that they choose, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from weightdock import catalogue, events, report
from weightdock.artifact import Framework
from weightdock.catalogue import ModelSpec
from weightdock.errors import ExitCode
from weightdock.report import RunReport

model = click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only this model; a glob such as 'yolo11*' names several."
)
framework = click.option(
    "--framework", "frameworks", multiple=True, metavar="NAME", help="Only this framework; may be given again."
)
json = click.option("--json", "as_json", is_flag=True, help="Write the report as one JSON line on stdout.")
as_events = click.option("--events", "as_events", is_flag=True, help="Write progress and report as NDJSON on stdout.")


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  weightdock {line}" for line in lines)


def selected(frameworks: Sequence[str], models: Sequence[str]) -> tuple[ModelSpec, ...]:
    """The models that the options name. Raises ConfigurationError with the nearest names."""
    return catalogue.select(models, tuple(map(Framework, frameworks)))


def chosen(frameworks: Sequence[str]) -> tuple[Framework, ...]:
    """The frameworks that the options name, or all. Raises ConfigurationError with the nearest names."""
    for name in frameworks:
        catalogue.check_framework(Framework(name))
    return tuple(dict.fromkeys(map(Framework, frameworks))) or catalogue.frameworks()


def observer(as_events: bool) -> events.Observer:
    """Who hears of progress: a driver on stdout, or people on stderr."""
    return events.Ndjson() if as_events else events.Lines()


def show(result: RunReport, as_data: bool, *, plan: bool = False) -> None:
    """Write the report on stdout, for machines or for people."""
    if as_data:
        click.echo(result.to_json())
    else:
        click.echo(report.plan_table(result) if plan else report.table(result))


def end(result: RunReport, as_data: bool, *, plan: bool = False, check: bool = False) -> NoReturn:
    """Show the report and exit with its code; with ``check`` a plan that has work exits 1."""
    show(result, as_data, plan=plan)
    sys.exit(max(result.exit_code, ExitCode.SOME_FAILED if check and result.has_work else ExitCode.DONE))
