"""Commands for nodes: fetch, resolve."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TextIO

import click

from weightdock import catalogue, settings
from weightdock.cache import Cache
from weightdock.cli import options
from weightdock.errors import ConfigurationError


@click.command(
    epilog=options.examples(
        "fetch", "fetch --framework timm --model 'convnext_*'", "fetch --from models.txt --jitter 60", "fetch --deep"
    )
)
@options.framework
@options.model
@click.option(
    "--from",
    "listed",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Read the models' names from FILE, one a line; - is stdin.",
)
@click.option("--deep", is_flag=True, help="Read the manifests and every cached file again.")
@click.option(
    "--jitter",
    type=click.IntRange(0, 3600),
    default=0,
    metavar="SECONDS",
    help="Before asking R2, wait at random up to so long: many nodes start at once.",
)
@options.json
@options.as_events
def fetch(
    frameworks: tuple[str, ...],
    models: tuple[str, ...],
    listed: TextIO | None,
    deep: bool,
    jitter: int,
    as_json: bool,
    as_events: bool,
) -> None:
    """Fill this machine's cache from the store, each file checked while it streams.

    Where everything is in the cache, no request is made. WEIGHTDOCK_CACHE_BYTES caps the cache: what was used longest
    ago goes first, but for what a running process resolved, and for WEIGHTDOCK_PINNED, globs of models.
    """
    configured = settings.load()
    specs = options.selected(frameworks, (*models, *(_names(listed) if listed else ())))
    cache, observe, as_data = Cache(configured.cache), options.observer(as_events), as_json or as_events
    from weightdock.node import warm

    report = None if deep else warm.report(specs, configured.prefix, cache, observe)
    if report is None and configured.offline:
        report = warm.offline_report(specs, configured.prefix, cache, observe, deep=deep)
    elif report and configured.cache_bytes is not None:  # which may be less than when the cache was filled
        from weightdock.cache.room import Room

        wanted = {cache.path(spec.model, spec.extension) for spec in specs}
        Room(cache, configured.cache_bytes, configured.pinned).make({}, wanted)
    if report is None:
        import random

        from weightdock.cache.room import Room
        from weightdock.node.fill import Fill
        from weightdock.store.r2 import R2Store

        room = Room(cache, configured.cache_bytes, configured.pinned)
        store = R2Store(configured)  # first: without credentials there is nothing to wait for
        time.sleep(random.uniform(0, jitter))  # noqa: S311  # no secret
        report = Fill(configured.prefix, store, room, observe, deep).run(specs)
    options.end(report, as_data)


def _not_empty(
    _context: click.Context, _option: click.Parameter, value: tuple[str, str] | None
) -> tuple[str, str] | None:
    """A shell's variable that is not set must not mean this folder."""
    if value and not value[1]:
        raise click.BadParameter("DIR is empty: name a folder")
    return value


@click.command(
    epilog=options.examples(
        "resolve timm/convnext_tiny",
        "resolve ultralytics/yolo11n --layout ultralytics .",
        "resolve timm/convnext_tiny --layout hub ~/.cache/torch",
    )
)
@click.argument("model", metavar="FRAMEWORK/MODEL")
@click.option(
    "--layout",
    nargs=2,
    type=(click.Choice(["ultralytics", "hub"]), click.Path(file_okay=False)),
    callback=_not_empty,
    metavar="ultralytics|hub DIR",
    help="Link the file into DIR, as ultralytics or torch.hub keeps it there, and write that path. "
    "Another file of that name is left alone, exit 2.",
)
def resolve(model: str, layout: tuple[str, str] | None) -> None:
    """Write the path of one model's verified file on stdout, fetching it first where it is missing.

    Looks in the cache, in R2, and with WEIGHTDOCK_ORIGIN=allow at the origin. WEIGHTDOCK_OFFLINE=1: in the cache only.
    """
    from weightdock.node.resolve import resolve as found

    file = found(model, options.observer(as_events=False))
    path = file.path
    if layout:
        from weightdock.node.layout import Layout, place

        (spec,) = catalogue.select([str(file.model)], [file.model.framework])
        path = place(file, Layout(layout[0]), Path(layout[1]), spec)
    click.echo(os.fsencode(path))  # whatever stdout's encoding is


def _names(listed: TextIO) -> list[str]:
    """One name or glob a line; a # begins a comment. Raises ConfigurationError for none at all."""
    try:
        names = [name for line in listed if (name := line.partition("#")[0].strip())]
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{listed.name} is no text", cause=str(error), next="one name a line") from error
    if not names:  # which would else mean all
        raise ConfigurationError(
            f"{listed.name} names no model", cause="it has no line but comments", next="leave --from out to fetch all"
        )
    return names
