"""Commands that look after the store: verify, status, prune."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from weightdock import catalogue, report, settings
from weightdock.cache import Cache
from weightdock.cli import options
from weightdock.errors import ConfigurationError
from weightdock.store.r2 import R2Store
from weightdock.upkeep import page
from weightdock.upkeep import prune as pruning
from weightdock.upkeep import status as surveying
from weightdock.upkeep.check import Check

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog=options.examples("verify", "verify --deep --model sam2_t"))
@options.framework
@options.model
@click.option("--deep", is_flag=True, help="Read and hash every byte.")
@options.json
@options.as_events
def verify(frameworks: tuple[str, ...], models: tuple[str, ...], deep: bool, as_json: bool, as_events: bool) -> None:
    """Compare what the store holds with the manifest and models.lock."""
    configured, specs = settings.load(), options.selected(frameworks, models)
    check = Check(configured.prefix, R2Store(configured), deep, options.observer(as_events))
    options.end(check.run(specs), as_json or as_events)


@click.command(
    epilog=options.examples("status", "status --framework timm --json", "status --html status.html --run upload.json")
)
@options.framework
@options.model
@click.option("--html", type=_FILE, metavar="FILE", help="Also write a page to look at, in one file.")
@click.option("--run", type=_FILE, metavar="FILE", help="With --html: chart this report of an upload or fetch --json.")
@options.json
def status(
    frameworks: tuple[str, ...], models: tuple[str, ...], html: Path | None, run: Path | None, as_json: bool
) -> None:
    """Show where each model is: lock, manifest, store, this machine's cache."""
    configured, specs = settings.load(), options.selected(frameworks, models)
    if run and not html:
        raise ConfigurationError(
            "--run is for the page",
            cause="there is no --html",
            next=f"weightdock status --html status.html --run {run}",
        )
    store = R2Store(configured)
    charted = page.read_run(run) if run else None
    found = surveying.survey(specs, configured.prefix, store, Cache(configured.cache), configured.licences)
    now = datetime.now(UTC)
    if html:
        page.write(html, page.render(found, now, charted))
        click.echo(f"to look at: {html.resolve().as_uri()}", err=True)
    click.echo(surveying.to_json(found) if as_json else surveying.table(found, now))


@click.command(epilog=options.examples("prune", "prune --yes", "prune --uploads --grace-days 1 --yes"))
@options.framework
@click.option("--yes", is_flag=True, help="Remove what is listed; without it nothing is changed.")
@click.option("--uploads", is_flag=True, help="List multipart uploads that nobody ended instead of objects.")
@click.option(
    "--grace-days",
    type=click.IntRange(0, 36_500),
    default=7,
    show_default=True,
    metavar="DAYS",
    help="Skip what is younger.",
)
@options.json
def prune(frameworks: tuple[str, ...], yes: bool, uploads: bool, grace_days: int, as_json: bool) -> None:
    """List the objects that no models.toml or models.lock names, and with --yes remove them."""
    configured, before = settings.load(), pruning.grace(grace_days, datetime.now(UTC))
    store, prefix, chosen = R2Store(configured), configured.prefix, options.chosen(frameworks)
    found = [  # everywhere, before anything goes anywhere
        pruning.find(store, prefix, framework, catalogue.reached(framework), before, uploads=uploads)
        for framework in chosen
    ]
    if not uploads:
        reports = [pruning.remove(store, prefix, one) if yes else pruning.listed(one) for one in found]
        options.end(report.merge(reports), as_json, plan=True)
    for one in found if yes else []:
        pruning.abort(store, one)
    pending = [upload for one in found for upload in one.uploads]
    click.echo(pruning.uploads_json(pending, yes) if as_json else pruning.uploads_table(pending, yes))
