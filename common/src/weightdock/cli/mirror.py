"""Commands that bring models from their origins: upload, lock."""

from __future__ import annotations

import click

from weightdock import catalogue, report, settings
from weightdock.artifact import Framework
from weightdock.cache import Cache
from weightdock.catalogue.lock import render
from weightdock.cli import options
from weightdock.errors import ConfigurationError
from weightdock.origins.child import OriginProcess
from weightdock.report import RunReport
from weightdock.settings.variables import CREDENTIALS
from weightdock.store.holdings import Holdings
from weightdock.store.r2 import R2Store
from weightdock.upload import plan
from weightdock.upload.acquire import Acquire
from weightdock.upload.locking import lock_models
from weightdock.upload.pipeline import Upload
from weightdock.upload.share import Share


@click.command(
    epilog=options.examples(
        "upload --framework timm --dry-run",
        "upload --model 'yolo11*'",
        "upload --share 0/4",
        "upload --model sam2_t --force",
    )
)
@options.framework
@options.model
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and stop.")
@click.option("--check", is_flag=True, help="A dry run that exits 1 when there is something to do.")
@click.option("--force", is_flag=True, help="Replace the one model that --model names, if it is still what was seen.")
@click.option(
    "--share",
    metavar="I/N",
    envvar="WEIGHTDOCK_SHARE",
    show_envvar=True,
    help="Only the I-th, from 0, of N shares of equal bytes: what one of N tasks takes.",
)
@click.option(
    "--catalogue",
    "fingerprint",
    metavar="SHA256",
    hidden=True,  # the driver's: refuse where models.toml and models.lock are others than there
)
@options.json
@options.as_events
def upload(
    frameworks: tuple[str, ...],
    models: tuple[str, ...],
    dry_run: bool,
    check: bool,
    force: bool,
    share: str | None,
    fingerprint: str | None,
    as_json: bool,
    as_events: bool,
) -> None:
    """Put every registered model that is missing into the store, verified.

    What is there is never overwritten without --force. A model's framework must be installed, as it is in its uploader
    image; a dry run needs none.
    """
    configured, specs, dry_run = settings.load(), options.selected(frameworks, models), dry_run or check
    if fingerprint and fingerprint != catalogue.fingerprint([*catalogue.by_framework(specs)]):
        raise ConfigurationError(
            "another catalogue is here than where this run was asked for",
            cause="models.toml or models.lock changed since this image was built",
            next="make images",
        )
    if share:
        specs = Share.parse(share).take(specs)
    if force and (not models or len(specs) != 1):
        raise ConfigurationError(
            "--force replaces one model",
            cause=f"the options name {len(specs)}",
            next=f"weightdock upload --force --model {specs[0].model if specs else 'FRAMEWORK/MODEL'}",
        )
    as_data = as_json or as_events
    if dry_run and len(configured.missing) == len(CREDENTIALS):
        # The keys are known without asking anybody; what is there is not, so this is still an error.
        click.echo("The keys, without knowing what is in the store:\n", err=True)
        options.show(RunReport(tuple(map(plan.row, plan.plan(specs, configured.prefix, {}, {})))), as_data, plan=True)
    store, observe, reports = R2Store(configured), options.observer(as_events), []
    for framework, of_framework in catalogue.by_framework(specs).items():
        if dry_run:
            held = Holdings.read(store, configured.prefix, framework)
            planned = plan.plan(
                of_framework,
                configured.prefix,
                held.entries,
                held.objects,
                force=force,
                licences=configured.licences,
            )
            reports.append(plan.report(planned, catalogue.load(framework), configured.prefix, held.objects))
            continue
        with OriginProcess(framework, configured) as origin:
            acquire = Acquire(framework, Cache(configured.cache), origin, observe, licences=configured.licences)
            run = Upload(acquire, store, configured.prefix)
            reports.append(run.run(run.plan(of_framework, force=force)))
    options.end(report.merge(reports), as_data, plan=dry_run, check=check)


@click.command(epilog=options.examples("lock --framework timm > new.lock && mv new.lock models.lock"))
@click.option("--framework", required=True, metavar="NAME", help="Whose models.lock to write.")
def lock(framework: str) -> None:
    """Write models.lock on stdout: what the origin says of every registered model.

    Digests are those that the origin publishes; a file is downloaded only where it publishes none.
    """
    configured, name = settings.load(), Framework(framework)
    catalogue.check_framework(name)
    with OriginProcess(name, configured) as origin:
        locked = lock_models(name, origin, Cache(configured.cache), lambda line: click.echo(line, err=True))
    click.echo(render(locked), nl=False)
