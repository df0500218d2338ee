"""What the container engine refuses, as errors that say what helps: each cause told from the others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from weightdock.errors import ConfigurationError, EngineError, WeightdockError
from weightdock_driver import images

NO_FOLDER = "bind source path does not exist"


def refused(doing: str, explanation: str, image: str = "", next: str = "") -> WeightdockError:
    """Why the engine would not do what it was asked, from its own ``explanation``."""
    return known(explanation, image) or EngineError(
        f"the container engine would not {doing}",
        cause=explanation,
        next=next or "`docker info` and the engine's log say more (journalctl -u docker)",
    )


def no_image(image: str, explanation: str) -> EngineError:
    """Why there is none of that name, in the engine's words."""
    listed = f"`docker image ls {image.rpartition(':')[0]}` shows the tags that are here; or "
    return EngineError(f"no image {image}", cause=explanation, next=images.remake(image, listed))


def known(explanation: str, image: str) -> WeightdockError | None:
    """What we know a cure for."""
    said = explanation.lower()
    if NO_FOLDER in said:
        return ConfigurationError(
            "the cache's folder is not there", cause=explanation, next="make it on the engine's host, or name another"
        )
    if "not a directory" in said and "/.cache" in said:  # and not of the CA bundle's mount
        return ConfigurationError(
            "the cache's path is no folder", cause=explanation, next="name a folder, or a volume, with --cache"
        )
    if "network" in said and "not found" in said:
        return EngineError(
            "no such network",
            cause=explanation,
            next="`docker network ls` lists those that exist: --network NAME; the demo's is there after `make demo`",
        )
    if "cannot be used with services" in said:
        return ConfigurationError(
            "this network is not the Swarm's",
            cause=explanation,
            next="--network host, or an overlay network: docker network create --driver overlay --attachable NAME",
        )
    if "no space left on device" in said:
        return EngineError(
            "the engine's disk is full",
            cause=explanation,
            next="`docker system df` shows what fills it, `docker system prune` removes what nobody uses",
        )
    if (
        "exec format error" in said
        or "does not match the specified platform" in said
        or "cannot be used on this" in said
    ):
        return EngineError(
            f"{image or 'the image'} is for another platform than the engine's",
            cause=explanation,
            next="build it on the engine that runs it: make images (and unset DOCKER_DEFAULT_PLATFORM)",
        )
    if "not a swarm manager" in said or "not part of a swarm" in said:
        return EngineError(
            "this engine is no Swarm manager",
            cause=explanation,
            next="`docker swarm init` makes one of it (docs/fleet.md); or DOCKER_HOST=ssh://<a manager>",
        )
    return None


def unreachable(error: Exception, asked: str) -> EngineError:
    """Why there is no engine at ``asked``: the SDK wraps the reason several times, and only the innermost one tells."""
    reasons = list(_chain(error))
    if any(isinstance(reason, PermissionError) for reason in reasons):
        return EngineError(
            "no right to the container engine",
            cause="its socket may be opened by root and by the group docker only",
            next='sudo usermod -aG docker "$USER", then log in again; or run this command with sudo',
        )
    if any(isinstance(reason, FileNotFoundError) for reason in reasons) and not _installed():
        return EngineError(
            "no container engine is installed",
            cause=f"neither docker nor dockerd is on PATH, and nothing listens at {asked}",
            next="`make engine` installs and starts one (as root: sudo docker/engine); elsewhere: Docker Desktop",
        )
    innermost = next((reason for reason in reasons if isinstance(reason, OSError) and reason.strerror), error)
    return EngineError(
        "no container engine answers",
        cause=f"{getattr(innermost, 'strerror', None) or innermost} "
        f"(asked: {asked}; DOCKER_HOST, else the docker context, else this machine's socket)",
        next="unset DOCKER_HOST if it names the wrong one; `make engine` starts this machine's, or installs it first "
        "(as root: sudo docker/engine)",
    )


def _installed() -> bool:
    return any(shutil.which(program) for program in ("docker", "dockerd"))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # urllib3 and requests hand the reason on as an argument, the rest as cause or context.
        for argument in error.args:
            if isinstance(argument, BaseException):
                yield from _chain(argument)
        error = error.__cause__ or error.__context__
