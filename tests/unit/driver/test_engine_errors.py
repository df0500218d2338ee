"""What the SDK raises when there is no engine to ask; tests with an engine are in tests/integration."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from urllib3.exceptions import ProtocolError

from support.driver_fakes import connection_error
from weightdock.errors import ConfigurationError, EngineError
from weightdock_driver import engine_errors
from weightdock_driver.engine import Engine
from weightdock_driver.mounts import check_mount
from weightdock_driver.run_spec import Mount

# The SDK leaves the socket open on which a connection failed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


MOUNTING = 'error mounting "/srv/a" to rootfs at'


def refusal(monkeypatch: pytest.MonkeyPatch, host: str) -> EngineError:
    monkeypatch.setenv("DOCKER_HOST", host)
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return connection_error()


def test_a_socket_that_is_not_there_means_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = refusal(monkeypatch, f"unix://{tmp_path}/none.sock")
    assert error.what == "no container engine answers"
    assert error.cause.startswith("No such file or directory")
    assert "sudo docker/engine" in error.next
    assert "unset DOCKER_HOST" in error.next


def test_a_socket_that_nobody_listens_on_means_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "s"))
    error = refusal(monkeypatch, f"unix://{tmp_path}/s")
    assert error.what == "no container engine answers"
    assert error.cause.startswith("Connection refused")


def test_an_address_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "foo://bar" in refusal(monkeypatch, "foo://bar").cause


def test_a_socket_that_is_not_for_us_means_no_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_env(**_how: object) -> None:
        # As the SDK nests it; root, as whom tests often run, cannot be refused by a real socket.
        reason = ProtocolError("Connection aborted.", PermissionError(13, "Permission denied"))
        raise DockerException(f"Error while fetching server API version: {reason}") from ConnectionError(reason)

    monkeypatch.setattr(docker, "from_env", from_env)
    error = connection_error()
    assert error.what == "no right to the container engine"
    assert "usermod -aG docker" in error.next


def test_no_socket_and_no_program_means_that_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal(monkeypatch, f"unix://{tmp_path}/none.sock")
    assert error.what == "no container engine is installed"
    assert "make engine" in error.next


@pytest.mark.parametrize(
    ("explanation", "what", "help"),
    [
        ("write /var/lib/docker/x: no space left on device", "the engine's disk is full", "docker system prune"),
        ("exec /usr/bin/weightdock: exec format error", "i:1 is for another platform than the engine's", "make images"),
        (
            "image with reference i:1 was found but does not match the specified platform: wanted linux/arm64",
            "i:1 is for another platform than the engine's",
            "DOCKER_DEFAULT_PLATFORM",
        ),
        ("This node is not a swarm manager. Use docker swarm init", "this engine is no Swarm manager", "swarm init"),
        (
            f"{MOUNTING} /workspace/data/.cache/models: not a directory: Are you",
            "the cache's path is no folder",
            "--cache",
        ),
        (
            f"{MOUNTING} /etc/ssl/ours.pem: not a directory: Are you",
            "the container engine would not start c",
            "journalctl",
        ),
        ("network weightdock not found", "no such network", "make demo"),
        ("network local cannot be used with services. Only", "this network is not the Swarm's", "--driver overlay"),
        ("something else", "the container engine would not start c", "journalctl"),
    ],
)
def test_what_the_engine_refuses_is_told_apart(explanation: str, what: str, help: str) -> None:
    error = engine_errors.refused("start c", explanation, "i:1")
    assert (error.what, error.cause) == (what, explanation)
    assert help in error.next


def test_an_image_that_is_not_there_is_made_or_has_another_tag() -> None:
    assert engine_errors.no_image("weightdock/node:latest", "404").next == "make images"
    other = engine_errors.no_image("weightdock/node:v2", "404")
    assert other.next.startswith("`docker image ls weightdock/node` shows the tags that are here")


@pytest.fixture
def docker_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where docker's configuration is, which nothing in the environment overrules."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


@pytest.mark.parametrize("chosen_by", ["variable", "configuration"])
def test_a_context_that_does_not_exist_is_no_reason_to_take_another_engine(
    monkeypatch: pytest.MonkeyPatch, docker_config: Path, chosen_by: str
) -> None:
    chosen = {"currentContext": "none"} if chosen_by == "configuration" else {}
    docker_config.write_text(json.dumps(chosen))
    if chosen_by == "variable":
        monkeypatch.setenv("DOCKER_CONTEXT", "none")
    with pytest.raises(EngineError, match="the chosen docker context does not exist"):
        Engine()


@pytest.mark.parametrize("content", ["[]", '{"currentContext": 5}'])
def test_a_configuration_of_docker_that_is_none_is_an_error_of_the_engine(docker_config: Path, content: str) -> None:
    docker_config.write_text(content)
    with pytest.raises(EngineError, match="no container engine answers"):
        Engine()


def test_tls_settings_that_are_none_are_an_error_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("DOCKER_HOST", "tcp://10.0.0.1:2376"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/nonexistent"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match="no container engine answers"):
        Engine()


@pytest.mark.parametrize(
    ("mount", "engine", "refused"),
    [
        (Mount("/srv/models", "/c"), "unix:///var/run/docker.sock", False),
        (Mount("/srv/models", "/c"), "ssh://gpu-1", False),
        (Mount("a-volume", "/c"), "ssh://gpu-1", False),
        (Mount("C:\\models", "/c"), "npipe:////./pipe/docker_engine", False),
        (Mount("C:\\models", "/c"), "tcp://10.0.0.1:2376", True),
        (Mount("/etc/ssl/ours.pem", "/c", of_this_machine=True), "tcp://127.0.0.1:2375", False),
        (Mount("/etc/ssl/ours.pem", "/c", of_this_machine=True), "ssh://gpu-1", True),
        (Mount("/etc/ssl/ours.pem", "/c", of_this_machine=True), "tcp://gpu-1:2376", True),
    ],
)
def test_a_folder_that_another_machines_engine_cannot_have_is_refused(mount: Mount, engine: str, refused: bool) -> None:
    if not refused:
        check_mount(mount, engine)
        return
    with pytest.raises(ConfigurationError) as told:
        check_mount(mount, engine)
    assert engine in told.value.cause
