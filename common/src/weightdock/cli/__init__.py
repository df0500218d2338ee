"""The command line inside every image: the only place that catches errors and exits.

Results go to stdout, progress and messages to stderr. The commands are in the modules beside this one.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

import click

from weightdock import __version__
from weightdock.errors import ExitCode, WeightdockError, message

_NEW_OBJECTS = 50_000
"""Between two searches for cycles. At 700, Python's own, a start spends a sixth of its time on searches in vain."""


_HOMES = {
    "upload": "mirror",
    "lock": "mirror",
    "fetch": "node",
    "resolve": "node",
    "verify": "upkeep",
    "status": "upkeep",
    "prune": "upkeep",
}
"""The module of each command: only the one that runs is imported, as the others' imports are half of a warm start."""


class _Commands(click.Group):
    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _HOMES:
            return None
        command = getattr(import_module(f"weightdock.cli.{_HOMES[name]}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands,
    commands=[click.Command(name) for name in _HOMES],  # names alone, for help and "did you mean"
    no_args_is_help=False,  # a missing command is an error like any other, and in the same words
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="weightdock")
@click.option("--log-level", type=click.Choice(["info", "debug"]), default="info", help="debug shows tracebacks.")
def cli(log_level: str) -> None:
    """Mirror pretrained vision weights into Cloudflare R2, and fill GPU nodes from there."""
    if log_level == "debug":
        import logging  # a warm start has nothing to say; and without this, Python writes warnings as they are

        logging.basicConfig(format="%(message)s")
        logging.getLogger("weightdock").setLevel(logging.DEBUG)  # ours alone: botocore's show request headers


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command, and turn every error into a message and an exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: not every terminal has our arrows
    ended_by = [signal.SIGINT]

    def terminate(_number: int, _frame: FrameType | None) -> None:
        ended_by[0] = signal.SIGTERM
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)  # process 1 of a container, as in Kubernetes, would not hear it otherwise
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        cli.main(given, prog_name="weightdock", standalone_mode=False)
    except click.exceptions.Exit as asked:
        sys.exit(asked.exit_code)
    except WeightdockError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        command = " ".join(["weightdock", *(one for one in given[:1] if one in _HOMES)])  # a parser's error has none
        if isinstance(error, click.UsageError) and error.ctx:
            command = error.ctx.command_path
        click.echo(
            message(error.format_message(), cause="the command line was not understood", next=f"{command} --help"),
            err=True,
        )
        sys.exit(ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; what was finished is kept", err=True)
        _let_go_of_stdout()
        sys.exit(128 + ended_by[0])
    except Exception as error:  # the last line of defence: a message, never a traceback
        import logging

        logging.getLogger("weightdock").debug("the traceback:", exc_info=True)
        unexpected = message(
            "something that weightdock did not expect",
            cause=f"{type(error).__name__}: {error}",
            next="run again with `weightdock --log-level debug …`, and report what it shows",
        )
        click.echo(unexpected, err=True)
        _let_go_of_stdout()
        sys.exit(ExitCode.SOME_FAILED)
    finally:
        gc.freeze()  # or Python would search all of it for cycles once more before it ends
    sys.exit(ExitCode.DONE)


def _let_go_of_stdout() -> None:
    """Where it takes nothing, as on a full disk, Python would fail once more at its end, with another exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
