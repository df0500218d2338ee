"""``weightdock-driver swarm``: the same work on many hosts, with Docker Swarm as the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from weightdock import report
from weightdock_driver import env_files, jobs, options
from weightdock_driver.jobs import Request
from weightdock_driver.options import tell


@click.group(no_args_is_help=False)  # as in cli: a missing command is an error in our words
def swarm() -> None:
    """Run the containers on the nodes of a Docker Swarm; the engine must be one of its managers."""


@swarm.command(epilog=options.examples("swarm upload --tasks 3", "swarm upload --framework timm --tasks 2"))
@click.option("--tasks", type=click.IntRange(1, 1000), default=3, show_default=True, help="Shares of each framework.")
@options.requested(jobs.CACHE_VOLUME, on_swarm=True)
@options.timeout
@options.as_json
@options.quiet
@click.pass_obj
def upload(
    files: Sequence[Path],
    tasks: int,
    request: Request,
    timeout: float | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Put every registered model that is missing into the store: a replicated job per framework.

    What is missing is asked once, in a container on this manager. Its models are shared out by bytes. A task that
    dies is begun anew; the share of a node that is lost goes to another one.
    """
    given, run = env_files.load(files), jobs.new_run()
    planning = jobs.upload(request, given, run, ["--dry-run"])
    tell(jobs.announcement(planning, given, f"upload by the Swarm, in {tasks} tasks a framework"), quiet)
    from weightdock_driver import swarm_run  # as in cli: not before the request is known to be good

    with swarm_run.Session(run, quiet, timeout) as session:
        planned = session.here(planning)
        work = [row.model for row in planned.results if row.is_work]
        narrowed = replace(request, patterns=tuple(map(str, work)))
        services = swarm_run.shared_out(jobs.upload(narrowed, given, run), tasks) if work else []
        done = {row.model: row for ended in session.on_swarm(services) for row in ended.results}
    merged = report.RunReport(tuple(done.get(row.model, row) for row in planned.results))
    click.echo(merged.to_json() if as_json else report.table(merged))
    return merged.exit_code


@swarm.command(
    epilog=options.examples(
        "swarm bootstrap --constraint node.labels.gpu==true",
        "swarm bootstrap --constraint node.labels.gpu==true --cache /workspace/data/.cache/models --at-once 4",
    )
)
@click.option(
    "--constraint",
    "constraints",
    multiple=True,
    metavar="EXPR",
    help="Only nodes where this holds, such as node.labels.gpu==true; may be given again.",
)
@click.option(
    "--at-once", type=click.IntRange(1), default=8, show_default=True, metavar="K", help="At most K nodes at a time."
)
@click.option(
    "--jitter",
    type=click.IntRange(0, 3600),
    default=3,
    show_default=True,
    metavar="SECONDS",
    help="Each node asks the store up to so much later, at random.",
)
@options.requested(jobs.NODE_CACHE, on_swarm=True)
@options.timeout
@options.as_json
@options.quiet
@click.pass_obj
def bootstrap(
    files: Sequence[Path],
    constraints: Sequence[str],
    at_once: int,
    jitter: int,
    request: Request,
    timeout: float | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Fill the cache of every node that meets the constraints: a job for each, a few at a time.

    The cache's folder must be on each node. A node that was away, or joins later, is filled by the same command again;
    nodes that are filled cost nothing.
    """
    from weightdock_driver import swarm_nodes

    swarm_nodes.check(constraints)
    given, run = env_files.load(files), jobs.new_run()
    (job,) = jobs.bootstrap(request, given, run, ["--jitter", str(jitter)])
    tell(jobs.announcement([job], given, "bootstrap by the Swarm"), quiet)
    from weightdock_driver import swarm_run

    with swarm_run.Session(run, quiet, timeout, parallel=at_once) as session:
        results = session.on_nodes(job, constraints)
    click.echo(swarm_nodes.to_json(results) if as_json else swarm_nodes.table(results))
    return max(one.exit_code for one in results)
