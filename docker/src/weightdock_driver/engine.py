"""The container engine, and the only module that imports its SDK: every call's failure leaves as an EngineError."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container as SdkContainer

from weightdock.errors import ConfigurationError, EngineError, WeightdockError
from weightdock_driver.run_spec import RunSpec, sdk_arguments
from weightdock_driver.verdict import Exit

_log = logging.getLogger("weightdock_driver")


class Engine:
    """A connection to an engine: DOCKER_HOST, else the current docker context, else this machine's socket."""

    def __init__(self) -> None:
        """Connect and agree on an API version. Raises EngineError when no engine answers."""
        try:
            self._client = docker.from_env()
            _log.debug("engine %s, API %s", self._client.api.base_url, self._client.api.api_version)
        except (DockerException, OSError, ValueError) as error:
            raise _unreachable(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @contextmanager
    def container(self, spec: RunSpec) -> Iterator[Container]:
        """A container made of ``spec``, not yet started; removed at the end of the ``with``, running or not."""
        try:
            with _told(f"make {spec.name}", spec.image):
                made = self._client.containers.create(**sdk_arguments(spec))
            yield Container(made, spec)
        finally:
            # By its name, because a call that failed or timed out may have made it all the same.
            self._remove(spec.name)

    def image_bytes(self, reference: str) -> int:
        """The size of an image, as ``docker image inspect`` gives it. Raises EngineError where there is none."""
        with _told(f"look at {reference}", reference):
            return int(self._client.images.get(reference).attrs["Size"])

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


@contextmanager
def _told(doing: str, image: str = "", next: str = "") -> Iterator[None]:
    """Turn what the SDK raises while ``doing`` into an error that says what helps."""
    try:
        yield
    except ImageNotFound as error:
        raise EngineError(f"no image {image}", cause=_explanation(error), next="make images") from error
    except APIError as error:
        raise _refused(doing, _explanation(error), next) from error
    except (DockerException, OSError) as error:
        raise EngineError(
            f"lost the container engine: could not {doing}",
            cause=str(error),
            next=next or "see whether it still runs: docker info; then run the same command again",
        ) from error


def _refused(doing: str, explanation: str, next: str) -> WeightdockError:
    said = explanation.lower()
    if "bind source path does not exist" in said:
        return ConfigurationError(
            "the cache's folder is not there", cause=explanation, next="make it on the engine's host, or name another"
        )
    if "network" in said and "not found" in said:
        return EngineError(
            "no such network", cause=explanation, next="`docker network ls` lists those that exist: --network NAME"
        )
    return EngineError(
        f"the container engine would not {doing}",
        cause=explanation,
        next=next or "`docker info` and the engine's log say more (journalctl -u docker)",
    )


def _explanation(error: APIError) -> str:
    return str(error.explanation or error).strip()


def _unreachable(error: Exception) -> EngineError:
    """Why there is no engine: the SDK wraps the reason several times, and only the innermost one tells."""
    reasons = list(_chain(error))
    if any(isinstance(reason, PermissionError) for reason in reasons):
        return EngineError(
            "no right to the container engine",
            cause="its socket may be opened by root and by the group docker only",
            next='sudo usermod -aG docker "$USER", then log in again; or run this command with sudo',
        )
    innermost = next((reason for reason in reasons if isinstance(reason, OSError) and reason.strerror), error)
    return EngineError(
        "no container engine answers",
        cause=f"{getattr(innermost, 'strerror', None) or innermost} "
        "(asked: DOCKER_HOST, else the docker context, else this machine's socket)",
        next="`make engine` starts one, or installs it first (as root: sudo docker/engine)",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # urllib3 and requests hand the reason on as an argument, the rest as cause or context.
        for argument in error.args:
            if isinstance(argument, BaseException):
                yield from _chain(argument)
        error = error.__cause__ or error.__context__
