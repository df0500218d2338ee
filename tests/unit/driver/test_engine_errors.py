"""What the SDK raises when there is no engine to ask; tests with an engine are in tests/integration."""

from __future__ import annotations

import socket
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from urllib3.exceptions import ProtocolError

from support.driver_fakes import connection_error
from weightdock.errors import EngineError

# The SDK leaves the socket open on which a connection failed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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


def test_a_socket_that_nobody_listens_on_means_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "s"))
    error = refusal(monkeypatch, f"unix://{tmp_path}/s")
    assert error.what == "no container engine answers"
    assert error.cause.startswith("Connection refused")


def test_an_address_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "foo://bar" in refusal(monkeypatch, "foo://bar").cause


def test_a_socket_that_is_not_for_us_means_no_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_env(**_how: bool) -> None:
        # As the SDK nests it; root, as whom tests often run, cannot be refused by a real socket.
        reason = ProtocolError("Connection aborted.", PermissionError(13, "Permission denied"))
        raise DockerException(f"Error while fetching server API version: {reason}") from ConnectionError(reason)

    monkeypatch.setattr(docker, "from_env", from_env)
    error = connection_error()
    assert error.what == "no right to the container engine"
    assert "usermod -aG docker" in error.next
