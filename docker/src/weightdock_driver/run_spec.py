"""One container as a value, and that value as keyword arguments of the Docker SDK. Pure: no engine, no environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from weightdock.errors import ConfigurationError
from weightdock.settings import Settings
from weightdock_driver import hardening

RUN_LABEL = "weightdock.run"
ROLE_LABEL = "weightdock.role"
DRIVER_LABEL = "weightdock.driver"
"""``leftovers.HOST:pid`` of the driver, so that what a killed driver left can be told from what a living one runs."""

KEEP_LABEL = "weightdock.keep"
"""On what a user wants to keep: no later run removes it."""

_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")  # the engine's own rule for a volume's name


class Role(StrEnum):
    """What a container is for."""

    UPLOADER = "uploader"
    NODE = "node"


@dataclass(frozen=True)
class Run:
    """One run of the driver. ``id`` is 8 hexadecimal digits; ``driver`` says whose it is; ``keep`` is for debugging."""

    id: str
    driver: str
    keep: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """What marks everything that this run makes."""
        return {RUN_LABEL: self.id, DRIVER_LABEL: self.driver, **({KEEP_LABEL: "true"} if self.keep else {})}


@dataclass(frozen=True)
class Mount:
    """A named volume, or a host's folder by its absolute path, at ``target`` in the container.

    ``of_this_machine``: it is a file that the driver found here, only to be read, and not one that a user named there.
    """

    source: str
    target: str
    of_this_machine: bool = False

    def __post_init__(self) -> None:
        if not self.is_folder and not _VOLUME.fullmatch(self.source):
            raise ConfigurationError(
                f"{self.source!r} cannot be a cache",
                cause="it is neither an absolute path nor the name of a volume (letters, digits, '_', '.' and '-')",
                next="give the full path, such as --cache /workspace/data/.cache/models, or a volume's name",
            )

    @property
    def is_folder(self) -> bool:
        """Whether the source is a path on the engine's host, which may be Windows."""
        return PurePosixPath(self.source).is_absolute() or PureWindowsPath(self.source).is_absolute()


@dataclass(frozen=True)
class Variable:
    """One environment variable. No value shows in a repr: some are secrets."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class RunSpec:
    """All about one container. ``args`` follow the image's entrypoint; ``network`` None is the engine's default."""

    name: str
    image: str
    role: Role
    run: Run
    args: tuple[str, ...]
    environment: tuple[Variable, ...]
    mounts: tuple[Mount, ...]
    memory_bytes: int
    network: str | None = None


def environment(settings: Settings) -> tuple[Variable, ...]:
    """What a container is told. Raises ConfigurationError without credentials.

    WEIGHTDOCK_CACHE stays outside: it names a folder of the host, and inside the cache is always in one place.
    """
    credentials = settings.credentials
    given = (
        Variable("AWS_S3_ENDPOINT_URL", credentials.endpoint_url),
        Variable("AWS_ACCESS_KEY_ID", credentials.access_key_id),
        Variable("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        Variable("AWS_SESSION_TOKEN", credentials.session_token or ""),
        Variable("WEIGHTDOCK_BUCKET", settings.bucket),
        Variable("WEIGHTDOCK_PREFIX", settings.prefix),
        Variable("WEIGHTDOCK_GITHUB_URL", settings.github_url),
        Variable("HF_ENDPOINT", settings.hf_endpoint),
        Variable("WEIGHTDOCK_CACHE_BYTES", "" if settings.cache_bytes is None else str(settings.cache_bytes)),
        Variable("WEIGHTDOCK_OFFLINE", "1" if settings.offline else ""),
        Variable("WEIGHTDOCK_PINNED", ",".join(settings.pinned)),
        *(Variable(name, value) for name, value in settings.licences.variables().items()),
    )
    return tuple(variable for variable in given if variable.value)


def sdk_arguments(spec: RunSpec) -> dict[str, Any]:
    """Keyword arguments for ``containers.create``: a dict, and Any in it, because that is what the SDK takes."""
    return {
        "image": spec.image,
        "command": list(spec.args),
        "name": spec.name,
        "environment": {variable.name: variable.value for variable in spec.environment},
        # Mounts rather than `volumes`: those would make a missing folder on the host, owned by root, without a word.
        "mounts": [
            {
                "Type": "bind" if mount.is_folder else "volume",
                "Source": mount.source,
                "Target": mount.target,
                "ReadOnly": mount.of_this_machine,
            }
            for mount in spec.mounts
        ],
        "network": spec.network,
        "labels": {**spec.run.labels, ROLE_LABEL: str(spec.role)},
        **hardening.sdk_arguments(spec.memory_bytes),
    }
