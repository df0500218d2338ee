"""Commands for nodes: fetch."""

from __future__ import annotations

import click

from weightdock import settings
from weightdock.cache import Cache
from weightdock.cli import options
from weightdock.node.fill import Fill
from weightdock.store.r2 import R2Store


@click.command(epilog=options.examples("fetch", "fetch --framework timm --model 'convnext_*'"))
@options.framework
@options.model
@options.json
@options.as_events
def fetch(frameworks: tuple[str, ...], models: tuple[str, ...], as_json: bool, as_events: bool) -> None:
    """Fill this machine's cache from the store, each file checked while it streams."""
    configured, specs = settings.load(), options.selected(frameworks, models)
    fill = Fill(configured.prefix, R2Store(configured), Cache(configured.cache), options.observer(as_events))
    options.end(fill.run(specs), as_json or as_events)
