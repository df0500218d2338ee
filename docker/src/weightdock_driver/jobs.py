"""From a request to containers: which models are meant, and the container that each framework (or a node) gets."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from weightdock import catalogue
from weightdock.artifact import Framework
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError
from weightdock_driver import images
from weightdock_driver.env_files import AUTHORITY_VARIABLES, Given
from weightdock_driver.leftovers import HOST
from weightdock_driver.run_spec import Mount, Role, Run, RunSpec, Variable, environment

CACHE_VOLUME = "weightdock-cache"
"""What the uploaders share: acquired models, and the frameworks' own caches."""

NODE_CACHE = "/workspace/data/.cache/models"
"""Where nodes keep files, unless told otherwise; and where a container finds them, wherever that is outside."""

_CACHE = "/workspace/data/.cache"

AUTHORITIES = "/etc/weightdock/ca.pem"
"""Where a container finds the CA bundle of this machine, when one is set."""

_LEAST_MEMORY = 6 << 20
"""No engine gives a container less (moby/daemon)."""


@dataclass(frozen=True)
class Request:
    """What a user asked for. No ``frameworks`` or ``patterns`` mean all; ``network`` None is the engine's default.

    ``cache`` is a volume's name or the absolute path of a folder. ``on_swarm``: it is for other hosts than this one.
    """

    frameworks: tuple[Framework, ...]
    patterns: tuple[str, ...]
    cache: str
    network: str | None = None
    tag: str = images.LATEST
    on_swarm: bool = False


@dataclass(frozen=True)
class Job:
    """One container and the models that it is to report on."""

    spec: RunSpec
    models: tuple[ModelSpec, ...]
    prefix: str


def new_run(keep: bool = False) -> Run:
    """A run of this process."""
    return Run(id=secrets.token_hex(4), driver=f"{HOST}:{os.getpid()}", keep=keep)


def upload(request: Request, given: Given, run: Run, flags: Sequence[str] = ()) -> tuple[Job, ...]:
    """One uploader per framework that has a model to upload, told these ``flags``. Raises ConfigurationError."""
    selected = catalogue.select(request.patterns, request.frameworks)
    if "--force" in flags and (not request.patterns or len(selected) != 1):  # as in the container
        raise ConfigurationError(
            "--force replaces one model",
            cause=f"the options name {len(selected)}",
            next="weightdock-driver upload --force --model FRAMEWORK/MODEL",
        )
    jobs = []
    for framework, models in catalogue.by_framework(selected).items():
        same = ("--catalogue", catalogue.fingerprint([framework]))  # or a lock that was reviewed here would not count
        image = images.uploader(framework)
        jobs.append(_job(request, given, run, Role.UPLOADER, framework, image, tuple(models), (*same, *flags)))
    return tuple(jobs)


def bootstrap(request: Request, given: Given, run: Run, flags: Sequence[str] = ()) -> tuple[Job, ...]:
    """The one container that fills a node's cache, told these ``flags``. Raises ConfigurationError."""
    selected = catalogue.select(request.patterns, request.frameworks)
    return (_job(request, given, run, Role.NODE, "node", images.NODE, selected, flags),)


def _job(
    request: Request,
    given: Given,
    run: Run,
    role: Role,
    whose: str,
    image: images.Image,
    models: tuple[ModelSpec, ...],
    flags: Sequence[str] = (),
) -> Job:
    spec = RunSpec(
        name=f"weightdock-{whose}-{run.id}",
        image=image.tagged(request.tag),
        role=role,
        run=run,
        args=("--events", *flags, *_models(models)),
        environment=_told(given, request),
        mounts=_mounts(request.cache, _CACHE if role is Role.UPLOADER else NODE_CACHE, given),
        memory_bytes=given.settings.memory_bytes,
        network=request.network,
    )
    return Job(spec, models, given.settings.prefix)


def announcement(jobs: Sequence[Job], given: Given, what: str) -> str:
    """What a run is going to do, before it does it: a few lines for people, and no secret among them."""
    first, settings = jobs[0].spec, given.settings
    count = sum(len(job.models) for job in jobs)
    cache = first.mounts[0]
    rows = (
        ("images", ", ".join(job.spec.image for job in jobs)),
        ("bucket", f"{settings.bucket}, under {settings.prefix}/"),
        ("endpoint", urlsplit(settings.credentials.endpoint_url).netloc.rpartition("@")[2]),
        ("network", first.network or "the engine's default"),
        ("cache", f"{'folder' if cache.is_folder else 'volume'} {cache.source}"),
    )
    return "\n".join([f"{what}: {count} model{'' if count == 1 else 's'}", *(f"  {k:<9} {v}" for k, v in rows)])


def _models(models: Sequence[ModelSpec]) -> tuple[str, ...]:
    """Each by name: a container knows one framework, and its catalogue may be older, with what was taken out since."""
    return tuple(word for spec in models for word in ("--model", str(spec.model)))


def _told(given: Given, request: Request) -> tuple[Variable, ...]:
    told = environment(given.settings)
    _refuse_loopback(given, request)
    if given.settings.memory_bytes < _LEAST_MEMORY:
        raise ConfigurationError(
            f"WEIGHTDOCK_MEMORY cannot be {given.settings.memory_bytes}",
            cause="no engine makes a container with less than 6 MB, and ours need some hundred",
            next="WEIGHTDOCK_MEMORY=4g",
        )
    authorities = [Variable(name, AUTHORITIES) for name in AUTHORITY_VARIABLES] if given.authorities else []
    return (*told, *given.proxies, *authorities)


def _mounts(cache: str, target: str, given: Given) -> tuple[Mount, ...]:
    authorities = [Mount(str(given.authorities), AUTHORITIES, of_this_machine=True)] if given.authorities else []
    return (Mount(cache, target), *authorities)


def _refuse_loopback(given: Given, request: Request) -> None:
    """Without this the containers would start, and fail to connect, and nobody would be told why."""
    if request.network == "host" or (request.network or "").startswith("container:"):
        return
    settings = given.settings
    addresses = (
        ("AWS_S3_ENDPOINT_URL", settings.credentials.endpoint_url),
        ("WEIGHTDOCK_GITHUB_URL", settings.github_url),
        ("HF_ENDPOINT", settings.hf_endpoint),
        *((proxy.name, proxy.value) for proxy in given.proxies if proxy.name.upper() != "NO_PROXY"),
    )
    for name, url in addresses:
        # Of a proxy only: its URL may hold a password, and may have no scheme.
        try:
            shown = urlsplit(url if "//" in url else f"//{url}").netloc.rpartition("@")[2]
            host = urlsplit(f"//{shown}").hostname or ""
        except ValueError as error:
            raise ConfigurationError(
                f"{name} is no address", cause=str(error), next=f"correct or unset {name}"
            ) from error
        if _is_loopback(host):
            raise ConfigurationError(
                f"{name} cannot be reached from a container",
                cause=f"{shown} is this machine's loopback address, which inside a container is the container itself",
                next="write an address that every node can reach; or, where each has one of its own, --network host"
                if request.on_swarm
                else "add --network host; or --network <compose network> and the service's name in the address",
            )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
