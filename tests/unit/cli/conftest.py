"""A command line in this process, before a real server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli_bench import (
    Bench,
    bench_before,
)
from support.command import Ran
from support.servers import Server
from weightdock import catalogue, cli
from weightdock.upload import locking


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``weightdock`` in this process, as its entry point does, with a catalogue of the test's own."""
    home = tmp_path / "catalogue"
    for function in (
        catalogue.frameworks,
        catalogue.check_framework,
        catalogue.load,
        catalogue.reached,
        catalogue.fingerprint,
        catalogue.select,
        locking.lock_models,
    ):
        defaults = function.__defaults__
        assert defaults
        assert defaults[-1] == catalogue.HOME
        monkeypatch.setattr(function, "__defaults__", (*defaults[:-1], home))
    monkeypatch.chdir(tmp_path)  # where no .env is

    monkeypatch.setattr(sys, "argv", ["weightdock"])

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        return Ran(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def bench(moto: Server, tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Before moto, which keeps conditions."""
    return bench_before(moto, tmp_path, command, monkeypatch)


@pytest.fixture(params=["moto", "rclone"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> Bench:
    """Before each server in turn."""
    return bench_before(request.getfixturevalue(request.param), tmp_path, command, monkeypatch)
