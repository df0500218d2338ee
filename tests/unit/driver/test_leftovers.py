from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weightdock_driver import leftovers
from weightdock_driver.leftovers import HOST, is_abandoned, is_alive


@pytest.mark.parametrize(
    ("driver", "abandoned"),
    [
        ("here:10", True),  # was a driver of this host and is no more
        ("here:11", False),  # lives
        ("elsewhere:10", False),  # of another host nothing is known
        ("here/1:10", False),  # nor of other processes under the same host name
        ("here:", False),
        ("here:x", False),
        ("here:-1", False),
        ("", False),
    ],
)
def test_only_a_dead_driver_of_this_host_has_abandoned_what_it_made(driver: str, abandoned: bool) -> None:
    assert is_abandoned(driver, alive=lambda pid: pid == 11, host="here") is abandoned


def test_a_pid_is_told_with_its_namespace() -> None:
    assert HOST.endswith(f"/{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')}")


def test_machines_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, read = [b"one", b"two", b"two"], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: ids.pop() if path.name == "machine-id" else read(path))
    two, again, one = leftovers._here(), leftovers._here(), leftovers._here()
    assert two == again != one
    assert "two" not in two.split("/")[1]


def test_a_process_is_alive_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_alive(process.pid)
    assert not is_alive(process.pid)
    assert is_alive(os.getpid())
    assert not is_alive(10**30)
