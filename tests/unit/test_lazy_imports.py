"""What only plans, helps or complains pays for no framework and for no boto3."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support import import_probe
from support.command import run


def _tried(folder: Path, module: str, *arguments: str, code: int = 0) -> list[str]:
    """Every foreign library that a process tried to import, installed or not."""
    output = folder / "tried.json"
    ran = run([sys.executable, import_probe.__file__, str(output), module, *arguments], {}, cwd=folder)
    assert ran.code == code, ran.stderr
    tried: list[str] = json.loads(output.read_text())
    return tried


def test_the_probe_sees_an_import_of_something_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "careless.py").write_text("try:\n    import torch.nn\nexcept ImportError:\n    pass\n")
    output = tmp_path / "tried.json"
    ran = run(
        [sys.executable, import_probe.__file__, str(output), "careless"], {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path
    )
    assert (ran.code, json.loads(output.read_text())) == (0, ["torch"])


@pytest.mark.parametrize(
    "module",
    ["cli", "store.r2", "node.fill", "upload.pipeline", "origins.child", "origins.timm", "origins.ultralytics"],
)
def test_importing_a_module_imports_nothing_foreign(tmp_path: Path, module: str) -> None:
    assert _tried(tmp_path, f"weightdock.{module}") == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["upload", "--help"], ["fetch", "--help"], ["--version"]], ids=" ".join
)
def test_help_imports_nothing_foreign(tmp_path: Path, arguments: list[str]) -> None:
    assert _tried(tmp_path, "weightdock.cli", *arguments) == []


@pytest.mark.parametrize("arguments", [["upload"], ["upload", "--dry-run"], ["fetch"]], ids=" ".join)
def test_missing_credentials_are_named_without_importing_anything_foreign(tmp_path: Path, arguments: list[str]) -> None:
    assert _tried(tmp_path, "weightdock.cli", *arguments, code=2) == []
