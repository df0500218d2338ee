"""What the driver's commands share: options, and how a command speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path

import click

from weightdock.artifact import Framework
from weightdock_driver import images
from weightdock_driver.jobs import Request

PROGRAM = "weightdock-driver"

_DURATION = re.compile(r"([0-9]{1,7}(?:\.[0-9]+)?)\s*(s|m|h|)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")  # the engine's own rule


class Seconds(click.ParamType[float]):
    """``90``, ``90s``, ``30m`` or ``2h``, as seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than none."""
        match = _DURATION.fullmatch(str(value).strip().lower())
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
        if not seconds:
            self.fail(f"{value!r} is no time; 90s, 30m and 2h are", param, ctx)
        return seconds


def _not_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """A shell's variable that is not set must not mean the default."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty: name one, or leave the option out")
    return value


def _is_file_name(_context: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not value.name:
        raise click.BadParameter("it is empty: name a file, or leave the option out")
    return value


def _is_tag(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not _TAG.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no tag: up to 128 letters, digits, '_', '.' and '-'")
    return value


_framework = click.option(
    "--framework", "frameworks", multiple=True, metavar="NAME", help="Only this framework; may be given again."
)
_model = click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only this model; a glob such as 'yolo11*' names several."
)
build = click.option(
    "--tag", default=images.LATEST, show_default=True, callback=_is_tag, help="Which build of the images."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Write the report as one JSON line on stdout.")
save = click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_is_file_name,
    metavar="FILE",
    help="Also keep the report as JSON: what `weightdock status --html … --run FILE` charts.",
)
quiet = click.option("--quiet", is_flag=True, help="Say nothing but errors and the result.")
timeout = click.option(
    "--timeout", type=Seconds(), metavar="TIME", help="Stop what has not ended after this time: 90s, 30m, 2h."
)
keep = click.option("--keep", is_flag=True, help="Leave the containers for debugging; `docker rm` removes them.")
parallel = click.option(
    "--parallel", type=click.IntRange(1), metavar="N", help="At most N containers at a time; all, unless given."
)


def requested(
    cache: str | None, shown: str | bool = True, on_swarm: bool = False
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Which models, where files are kept, on which network, by which images: the command's ``request``."""
    overlay = "an overlay network's name" if on_swarm else "a compose network's name"
    network = click.option(
        "--network", metavar="NAME", callback=_not_empty, help=f"The containers' network: host, or {overlay}."
    )
    kept = click.option(
        "--cache",
        default=cache,
        show_default=shown,
        metavar="VOLUME_OR_DIR",
        callback=_not_empty,
        help="Where files are kept: a volume's name, or a folder of the engine's host by its full path.",
    )

    def decorated(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def asked(
            frameworks: Sequence[str],
            models: Sequence[str],
            cache: str | None,
            network: str | None,
            tag: str,
            **more: object,
        ) -> int:
            names = tuple(map(Framework, dict.fromkeys(frameworks)))
            return command(request=Request(names, tuple(models), cache or "", network, tag, on_swarm), **more)

        return _framework(_model(kept(network(build(asked)))))

    return decorated


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in lines)


def tell(text: str, quiet: bool = False) -> None:
    """Say something on stderr, unless there is nothing to say, or nobody hears it."""
    if text and not quiet:
        with suppress(OSError):
            click.echo(text, err=True)
