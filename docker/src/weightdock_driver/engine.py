"""The container engine. Every call's failure leaves as an error of ours: see :mod:`weightdock_driver.engine_errors`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, Self

from weightdock_driver import late_paramiko  # noqa: F401  # before the SDK

# isort: split
import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container as SdkContainer
from docker.utils import kwargs_from_env

from weightdock.errors import EngineError
from weightdock_driver import leftovers
from weightdock_driver.cache_rights import Users
from weightdock_driver.engine_errors import no_image, refused, unreachable
from weightdock_driver.mounts import check_mount
from weightdock_driver.run_spec import DRIVER_LABEL, KEEP_LABEL, RunSpec, sdk_arguments
from weightdock_driver.verdict import Exit

_log = logging.getLogger("weightdock_driver")

Kind = Literal["service", "secret", "config"]
"""What a run makes on a Swarm."""


class Engine:
    """A connection to an engine: DOCKER_HOST, else the current docker context, else this machine's socket."""

    def __init__(self) -> None:
        """Connect and agree on an API version. Raises EngineError when no engine answers."""
        self._asked = "what docker's own settings say"
        try:
            self._asked = _asked()
            self._client = _connected()
            _log.debug("engine %s, API %s", self._client.api.base_url, self._client.api.api_version)
        # The last two for a config.json that is JSON, and no configuration.
        except (DockerException, OSError, ValueError, AttributeError, TypeError) as error:
            raise unreachable(error, self._asked) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @contextmanager
    def container(self, spec: RunSpec) -> Iterator[Container]:
        """A container made of ``spec``, not yet started; removed at the end of the ``with``, or ended and kept."""
        for mount in spec.mounts:
            check_mount(mount, self._asked)
        try:
            with _told(f"make {spec.name}", spec.image):
                made = self._client.containers.create(**sdk_arguments(spec))
            yield Container(made, spec)
        finally:
            # By its name, because a call that failed or timed out may have made it all the same.
            (self._end if spec.run.keep else self._remove)(spec.name)

    def remove_abandoned(self) -> tuple[str, ...]:
        """Remove the containers of drivers of this host that were killed; gives their names."""
        with _told("list our containers"):
            found = self._client.api.containers(all=True, filters={"label": DRIVER_LABEL})
        names = tuple(
            one["Names"][0].removeprefix("/")
            for one in found
            if leftovers.is_abandoned(one["Labels"][DRIVER_LABEL]) and KEEP_LABEL not in one["Labels"]
        )
        for name in names:
            self._remove(name)
        return names

    def image_bytes(self, reference: str) -> int:
        """The size of an image, as ``docker image inspect`` gives it. Raises EngineError where there is none."""
        with _told(f"look at {reference}", reference):
            return int(self._client.images.get(reference).attrs["Size"])

    def fixed_image(self, reference: str) -> str:
        """The image by a name that means these bytes and no others, for other nodes to run.

        That is its digest in the registry that it was pushed to, or else its id, which a node has or refuses: a node
        that asked a public registry for the bare name would run, with our keys, what somebody else put there.
        """
        with _told(f"look at {reference}", reference):
            found = self._client.images.get(reference)
        with_host = (one for one in found.attrs.get("RepoDigests") or [] if _has_host(one))
        return next(with_host, str(found.id))

    @property
    def users(self) -> Users:
        """Who the containers' users are on the engine's host."""
        return Users.of(self._information.get("SecurityOptions") or [], self._information["DockerRootDir"])

    @property
    def has_limits(self) -> bool:
        """Whether it holds containers to their limits: where there are no control groups they are dropped."""
        return bool(self._information["MemoryLimit"])

    @cached_property
    def _information(self) -> dict[str, Any]:
        with _told("look at the engine"):
            return dict(self._client.info())

    @property
    def swarm(self) -> Swarm:
        """What this engine is asked as a manager of a Swarm."""
        return Swarm(self._client.api)

    def _end(self, name: str) -> None:
        with _told(f"end {name}", next=f"docker kill {name}"), suppress(NotFound):
            try:
                self._client.api.kill(name)
            except APIError as error:
                if error.status_code != 409:  # 409: it does not run
                    raise

    def _remove(self, name: str) -> None:
        with _told(f"remove {name}", next=f"docker rm --force --volumes {name}"):
            try:
                # v: what an image declares as VOLUME would else stay behind; named volumes are not touched.
                self._client.api.remove_container(name, v=True, force=True)
                _log.debug("removed %s", name)
            except NotFound:
                _log.debug("%s was not there to be removed", name)
            except APIError as error:
                if error.status_code != 409:  # 409: somebody else is removing it now
                    raise


class Swarm:
    """The Swarm's part of the engine's API. Calls raise EngineError; an engine that is no manager says so."""

    def __init__(self, api: Any) -> None:
        self._api = api  # Any, because half of its methods have no types

    def make_service(self, arguments: Mapping[str, Any], image: str) -> None:
        """A service; ``arguments`` are those of :func:`weightdock_driver.swarm_spec.arguments`."""
        with _told(f"make the service {arguments['name']}", image):
            self._api.create_service(**arguments)

    def store(self, kind: Kind, name: str, content: bytes, labels: Mapping[str, str]) -> str:
        """A secret or a config; gives its id."""
        with _told(f"store the {kind} {name}"):
            return str(getattr(self._api, f"create_{kind}")(name, content, labels=dict(labels))["ID"])

    def labelled(self, kind: Kind, label: str) -> dict[str, str]:
        """Names and what ``label`` says, of those that have it."""
        with _told(f"list every {kind}"):
            found = getattr(self._api, f"{kind}s")(filters={"label": label})
        return {one["Spec"]["Name"]: one["Spec"]["Labels"][label] for one in found}

    def remove(self, kind: Kind, name: str) -> None:
        """Remove what may be there."""
        with _told(f"remove the {kind} {name}", next=f"docker {kind} rm {name}"), suppress(NotFound):
            getattr(self._api, f"remove_{kind}")(name)
            _log.debug("removed the %s %s", kind, name)

    def tasks(self, service: str) -> list[dict[str, Any]]:
        """The service's tasks, old ones included."""
        with _told(f"look at the tasks of {service}"):
            return list(self._api.tasks({"service": service}))

    def still_there(self, tasks: Collection[str]) -> bool:
        """Whether any of these tasks, by id, has not ended since its service was removed."""
        with _told("look at what ends"):
            return bool(tasks) and bool(self._api.tasks({"id": list(tasks)}))

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes."""
        with _told("list the nodes"):
            return list(self._api.nodes())

    def log(self, service: str, follow: bool = False, since: int = 0) -> Iterator[bytes]:
        """Frames of what the service's tasks print; see :mod:`weightdock_driver.swarm_logs`."""
        with _told(f"read the log of {service}"):
            yield from self._api.service_logs(
                service, details=True, follow=follow, stdout=True, stderr=True, is_tty=False, since=since
            )


class Container:
    """A container of ours. Calls raise EngineError."""

    def __init__(self, made: SdkContainer, spec: RunSpec) -> None:
        self.name = spec.name
        self._made = made
        self._image = spec.image
        # Before the start, so that not even the first line can be missed; no log driver has to keep it for us.
        with _told(f"listen to {spec.name}"):
            self._chunks = made.attach(stdout=True, stderr=True, stream=True, demux=True)

    def start(self) -> None:
        """Begin."""
        with _told(f"start {self.name}", self._image):
            self._made.start()

    def output(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Chunks of stdout and stderr, as they come, until the container ends; one of the two is None."""
        with _told(f"listen to {self.name}"):
            yield from self._chunks

    def wait(self) -> Exit:
        """How it ended, once it has."""
        with _told(f"wait for {self.name}"):
            status = int(self._made.wait()["StatusCode"])
            self._made.reload()
            return Exit(status, bool(self._made.attrs["State"].get("OOMKilled")))

    def terminate(self) -> None:
        """Send SIGTERM. A failure does not matter: what cannot be asked to stop is removed by force."""
        try:
            self._made.kill("SIGTERM")
        except (DockerException, OSError) as error:
            _log.debug("%s took no SIGTERM: %s", self.name, error)


def _has_host(reference: str) -> bool:
    """``registry:5000/weightdock/node@sha256:…`` has one; without, a name is Docker Hub's."""
    first, slash, _ = reference.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)


def _connected() -> docker.DockerClient:
    """A client of the newest API that the SDK and the engine both know."""

    def client(version: str) -> docker.DockerClient:
        # ssh:// by the ssh command, as the docker CLI does it: the user's ~/.ssh/config, agent and known hosts.
        made = docker.from_env(version=version, use_ssh_client=True)
        # Else REQUESTS_CA_BUNDLE would replace the authority of DOCKER_CERT_PATH, by which an engine is known.
        made.api.trust_env = False
        return made

    first = client(DEFAULT_DOCKER_API_VERSION)
    try:
        spoken = str(first.version(api_version=False)["ApiVersion"])
    except BaseException:
        first.close()
        raise
    if _numbers(spoken) >= _numbers(DEFAULT_DOCKER_API_VERSION):
        return first
    first.close()
    return client(spoken)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _asked() -> str:
    """The address that the SDK takes: DOCKER_HOST, else of the context, else this machine's own."""
    given = kwargs_from_env().get("base_url") or ContextAPI.kwargs_from_context().get("base_url")
    if given is None:
        # The SDK would take this machine's engine: the work would run somewhere else unnoticed.
        raise EngineError(
            "the chosen docker context does not exist",
            cause="DOCKER_CONTEXT, or currentContext in docker's config.json, names none that docker has",
            next="`docker context ls` lists those that exist; `docker context use default` is this machine's engine",
        )
    return str(given)


@contextmanager
def _told(doing: str, image: str = "", next: str = "") -> Iterator[None]:
    """Turn what the SDK raises while ``doing`` into an error that says what helps."""
    try:
        yield
    except ImageNotFound as error:
        raise no_image(image, _explanation(error)) from error
    except APIError as error:
        raise refused(doing, _explanation(error), image, next) from error
    except (DockerException, OSError) as error:
        raise EngineError(
            f"lost the container engine: could not {doing}",
            cause=str(error),
            next=next or "see whether it still runs: docker info; then run the same command again",
        ) from error


def _explanation(error: APIError) -> str:
    return str(error.explanation or error).strip()
