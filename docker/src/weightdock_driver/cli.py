"""The driver's command line: the only place that catches and exits."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path

import click

from weightdock import catalogue, report
from weightdock.errors import ConfigurationError, EngineError, ExitCode, WeightdockError, message
from weightdock.report import RunReport
from weightdock_driver import __version__, env_files, host, images, jobs, options
from weightdock_driver.jobs import Job, Request
from weightdock_driver.options import PROGRAM, tell
from weightdock_driver.signals import Stopped
from weightdock_driver.swarm_cli import swarm

_log = logging.getLogger("weightdock_driver")


@click.group(
    no_args_is_help=False,  # a missing command is an error like any other, and in the same words
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 some models failed, 2 usage or configuration, 3 origin, 4 integrity or safety, "
    "5 store, 6 engine; the worst of a run wins.",
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--log-level", type=click.Choice(["info", "debug"]), default="info", help="debug shows tracebacks.")
@click.option(
    "--env-file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the settings from this file, and not from .env or the environment (but for WEIGHTDOCK_CACHE). "
    "May be given again.",
)
@click.pass_context
def cli(context: click.Context, log_level: str, files: tuple[Path, ...]) -> None:
    """Run weightdock's containers on the engine of DOCKER_HOST, of the docker context, or of this machine.

    Results go to stdout, progress and messages to stderr.
    """
    _log.setLevel(log_level.upper())
    context.obj = files


@cli.command(
    epilog=options.examples("upload --dry-run", "upload --framework timm", "upload --model 'yolo11*' --json"),
)
@options.requested(jobs.CACHE_VOLUME)
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and stop.")
@click.option("--check", is_flag=True, help="A dry run that exits 1 when there is something to do.")
@click.option("--force", is_flag=True, help="Replace the one model that --model names, if it is still what was seen.")
@options.parallel
@options.timeout
@options.keep
@options.as_json
@options.save
@options.quiet
@click.pass_obj
def upload(
    files: Sequence[Path],
    request: Request,
    dry_run: bool,
    check: bool,
    force: bool,
    parallel: int | None,
    timeout: float | None,
    keep: bool,
    as_json: bool,
    save: Path | None,
    quiet: bool,
) -> int:
    """Put every registered model that is missing into the store: a container per framework, side by side."""
    given, dry_run = env_files.load(files), dry_run or check
    flags = [flag for flag, wanted in (("--dry-run", dry_run), ("--force", force)) if wanted]
    work = jobs.upload(request, given, jobs.new_run(keep), flags)
    tell(jobs.announcement(work, given, "plan (nothing will be changed)" if dry_run else "upload"), quiet)
    merged = _run(work, quiet, timeout, parallel)
    worst = _show(merged, as_json, report.plan_table(merged) if dry_run else report.table(merged), save)
    return max(worst, ExitCode.SOME_FAILED if check and merged.has_work else ExitCode.DONE)


@cli.command(
    epilog=options.examples(
        "bootstrap", "bootstrap --cache /workspace/data/.cache/models", "bootstrap --model timm/convnext_tiny"
    )
)
@options.requested(None, "WEIGHTDOCK_CACHE, else /workspace/data/.cache/models, of this machine")
@options.timeout
@options.keep
@options.as_json
@options.save
@options.quiet
@click.pass_obj
def bootstrap(
    files: Sequence[Path],
    request: Request,
    timeout: float | None,
    keep: bool,
    as_json: bool,
    save: Path | None,
    quiet: bool,
) -> int:
    """Fill this node's cache from the store, each file checked while it streams."""
    given = env_files.load(files)
    kept = request.cache or str(given.settings.cache.absolute())
    work = jobs.bootstrap(replace(request, cache=kept), given, jobs.new_run(keep))
    if not request.cache:
        host.have_folder(given.settings.cache)
    tell(jobs.announcement(work, given, "bootstrap") + f"\n  gpus      {host.gpus()}", quiet)
    merged = _run(work, quiet, timeout)
    return _show(merged, as_json, report.table(merged), save)


@cli.command("images", epilog=options.examples("images", "images --sizes"))
@click.option("--sizes", is_flag=True, help="Each image's size beside its limit; exit 1 when one is larger.")
@options.build
def list_images(sizes: bool, tag: str) -> int:
    """List the images that the driver runs."""
    ours = images.registry(catalogue.by_framework(catalogue.select()))  # which says what is wrong in a models.toml
    if not sizes:
        click.echo("\n".join(image.tagged(tag) for image in ours))
        return ExitCode.DONE
    from weightdock_driver.engine import Engine  # not needed for a list of names, and 0.2 s to import

    with Engine() as engine:
        measured = [images.Measured(image, engine.image_bytes(image.tagged(tag))) for image in ours]
    click.echo(images.table(measured))
    return ExitCode.SOME_FAILED if any(one.too_large for one in measured) else ExitCode.DONE


cli.add_command(swarm)


def _run(work: Sequence[Job], quiet: bool, timeout: float | None, parallel: int | None = None) -> RunReport:
    # Imported once the request is known to be good: the SDK and rich take a third of a second.
    from weightdock_driver import cache_rights, display, run, verdict
    from weightdock_driver.engine import Engine

    with Engine() as engine:
        for name in engine.remove_abandoned():
            tell(f"removed {name}: its driver was killed", quiet)
        if not engine.has_limits:
            tell("warning: this engine drops the containers' limits of memory and processes: see docker info", quiet)
        ended = run.run(engine, work, display.for_stderr(sys.stderr, quiet=quiet), run.Limits(parallel, timeout))
        users = engine.users
    for job, end in zip(work, ended, strict=True):
        tell(verdict.last_words(job, end))
        tell(f"kept {job.spec.name}: docker logs {job.spec.name}" if job.spec.run.keep else "")
    ends = zip(work, ended, strict=True)
    return report.merge(cache_rights.explained(verdict.report_of(job, end), job.spec, users) for job, end in ends)


def _show(merged: RunReport, as_json: bool, table: str, save: Path | None) -> int:
    try:
        if save:
            save.parent.mkdir(parents=True, exist_ok=True)
            save.write_text(f"{merged.to_json()}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{save} cannot be written", cause=str(error), next="name another file with --save"
        ) from error
    finally:
        click.echo(merged.to_json() if as_json else table)  # neither is to be lost for the other
    return merged.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and turn every error into a message and an exit code (128 and its number after a signal)."""
    logging.basicConfig(format="%(name)s: %(message)s")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: not every terminal has our arrows
    try:
        return int(cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or ExitCode.DONE)
    except Stopped as stopped:
        tell(str(stopped))
        return stopped.exit_code
    except WeightdockError as error:
        for one in (*_before(error), error):
            tell(str(one))
        return error.exit_code
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else PROGRAM
        tell(message(error.format_message(), cause="the command line was not understood", next=f"{command} --help"))
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):  # before or after the containers; while there are any, see signals
        tell("stopped; no container is left running")
        return 130
    except Exception as error:  # noqa: BLE001  # the last line of defence: a message, never a traceback
        _log.debug("the traceback:", exc_info=True)
        unexpected = message(
            f"something that {PROGRAM} did not expect",
            cause=f"{type(error).__name__}: {error}",
            next=f"run again with `{PROGRAM} --log-level debug …`, and report what it shows",
        )
        tell(unexpected)
        return ExitCode.SOME_FAILED


def _before(error: WeightdockError) -> Iterator[EngineError]:
    """What the engine had refused already when ``error`` came, oldest first: each names a container to look after."""
    earlier = error.__context__
    found = []
    while earlier is not None:
        found += [earlier] if isinstance(earlier, EngineError) else []
        earlier = earlier.__context__
    yield from reversed(found)


if __name__ == "__main__":
    sys.exit(main())
