"""A Swarm service as a value, and that value as the engine's API takes it. Pure: no engine, no environment.

A service comes from the same :class:`~weightdock_driver.run_spec.RunSpec` as a container on one host, hardening and
all. What differs: keys are Swarm secrets, a CA bundle is a Swarm config, and no port is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weightdock.catalogue import ModelSpec
from weightdock_driver import hardening
from weightdock_driver.jobs import Job
from weightdock_driver.run_spec import ROLE_LABEL, RUN_LABEL, Mount, Run, RunSpec, Variable

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables that no service shows: each becomes a secret, and ``NAME_FILE`` says where it is."""

_USER = str(hardening.CONTAINER_ID)  # the images' own, and nobody else's: it reads its secrets
_SECOND = 1_000_000_000  # the API counts nanoseconds

# For slot 0 Swarm gives the node's id in place of the number (moby/swarmkit, template/context.go).
_SLOT = "{{if eq .Task.Slot .Node.ID}}0{{else}}{{.Task.Slot}}{{end}}"


@dataclass(frozen=True)
class Service:
    """A job of Swarm's: ``shares`` are its tasks' models, a share each. Only where ``constraints`` hold.

    ``node`` is the hostname of the one node that a global job is for; None means a replicated job, wherever there is
    room.
    """

    job: Job
    shares: tuple[tuple[ModelSpec, ...], ...]
    constraints: tuple[str, ...] = ()
    node: str | None = None

    @property
    def name(self) -> str:
        """The service's name, which says whose it is."""
        return self.job.spec.name


def secrets(service: Service) -> tuple[Variable, ...]:
    """What has to be made a secret, by the variable's name."""
    return tuple(variable for variable in service.job.spec.environment if variable.name in SECRETS)


def stored_name(run: Run, name: str) -> str:
    """The name of a run's secret or config on the Swarm."""
    return f"weightdock-{run.id}-{name.lower()}"


@dataclass(frozen=True)
class Substitute:
    """A job for one share alone, in place of a task whose node is lost. ``name`` is its service's."""

    name: str
    share: int


def arguments(
    service: Service, image: str, stored: Mapping[str, str], instead: Substitute | None = None
) -> dict[str, Any]:
    """Keyword arguments for ``APIClient.create_service``; ``stored`` has each secret's and config's id by its name."""
    spec = service.job.spec
    held_in, resources = hardening.service_arguments(spec.memory_bytes)
    container = {
        "Image": image,
        "Args": list(spec.args),
        "Env": _environment(service, str(instead.share) if instead else _SLOT),
        # Not the driver's label: what it marks is a driver's own to remove, and these are Swarm's.
        "Labels": {RUN_LABEL: spec.run.id, ROLE_LABEL: str(spec.role)},
        **held_in,
        "Mounts": [*held_in["Mounts"], *(_mount(mount) for mount in spec.mounts if not mount.of_this_machine)],
        "Secrets": [_secret(spec.run, variable.name, stored) for variable in secrets(service)],
        "Configs": [_config(spec.run, mount, stored) for mount in spec.mounts if mount.of_this_machine],
        "StopGracePeriod": 5 * _SECOND,
    }
    template = {
        "ContainerSpec": container,
        # A task that dies begins again. How often is the driver's to say: for jobs Swarm (26.1) counts no attempts.
        "RestartPolicy": {"Condition": "on-failure", "Delay": 5 * _SECOND},
        "Resources": resources,
        "Placement": {"Constraints": list(service.constraints)},
        "LogDriver": {"Name": "json-file"},  # whatever the node's own is: the reports are read from it
        **({"Networks": [{"Target": spec.network}]} if spec.network else {}),
    }
    count = 1 if instead else len(service.shares)
    mode = {"ReplicatedJob": {"MaxConcurrent": count, "TotalCompletions": count}}
    return {
        "task_template": template,
        "name": instead.name if instead else service.name,
        "labels": _labels(spec),
        "mode": mode if service.node is None else {"GlobalJob": {}},
    }


def _labels(spec: RunSpec) -> dict[str, str]:
    return {**spec.run.labels, ROLE_LABEL: str(spec.role)}


def _environment(service: Service, share: str) -> list[str]:
    plain = [f"{one.name}={one.value}" for one in service.job.spec.environment if one.name not in SECRETS]
    files = [f"{one.name}_FILE=/run/secrets/{one.name}" for one in secrets(service)]
    shared = [f"WEIGHTDOCK_SHARE={share}/{len(service.shares)}"] if service.node is None else []
    return [*plain, *files, *shared]


def _mount(mount: Mount) -> dict[str, object]:
    kind = "bind" if mount.is_folder else "volume"
    return {"Type": kind, "Source": mount.source, "Target": mount.target, "ReadOnly": False}


def _secret(run: Run, name: str, stored: Mapping[str, str]) -> dict[str, object]:
    known_as = stored_name(run, name)
    file = {"Name": name, "UID": _USER, "GID": _USER, "Mode": 0o400}
    return {"SecretID": stored[known_as], "SecretName": known_as, "File": file}


def _config(run: Run, mount: Mount, stored: Mapping[str, str]) -> dict[str, object]:
    known_as = stored_name(run, mount.target.rpartition("/")[2])
    file = {"Name": mount.target, "UID": _USER, "GID": _USER, "Mode": 0o444}
    return {"ConfigID": stored[known_as], "ConfigName": known_as, "File": file}
