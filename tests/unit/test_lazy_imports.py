"""What only plans, helps or complains pays for no framework and for no boto3."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support import import_probe
from support.command import WEIGHTDOCK, environment, run
from weightdock import catalogue
from weightdock.cache import Cache
from weightdock.verify import verify


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


def test_a_fetch_that_finds_everything_imports_nothing_foreign_and_needs_no_credentials(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for spec in catalogue.select():
        with cache.partial(spec.model) as folder:
            (folder / "x").write_bytes(spec.model.name.encode())
            cache.publish(verify(spec.model, folder / "x", []), spec.extension)
    output = tmp_path / "tried.json"
    probed = [sys.executable, str(import_probe.__file__), str(output), "weightdock.cli"]
    ran = run([*probed, "fetch", "--json", "--jitter", "3600"], {"WEIGHTDOCK_CACHE": str(cache.root)}, cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    assert {row["outcome"] for row in json.loads(ran.stdout)["results"]} == {"in the cache"}
    assert json.loads(output.read_text()) == []


@pytest.mark.parametrize(
    ("script", "besides"),
    [
        ("weightdock.resolve('ultralytics/yolo11n')", {"inspect", "weightdock.catalogue.lock"}),
        ("from weightdock.cli import main; main(['fetch', '--model', 'yolo11n'])", set()),
    ],
)
def test_a_warm_start_imports_nothing_that_others_need(tmp_path: Path, script: str, besides: set[str]) -> None:
    cache, spec = Cache(tmp_path / "cache"), catalogue.select(["yolo11n"])[0]
    with cache.partial(spec.model) as folder:
        (folder / "x").write_bytes(b"weights")
        cache.publish(verify(spec.model, folder / "x", []), spec.extension)
    told = f"import atexit, sys, weightdock; atexit.register(lambda: print(*sys.modules)); {script}"
    ran = run([sys.executable, "-c", told], {"WEIGHTDOCK_CACHE": str(cache.root)}, cwd=tmp_path)
    dear = {"dataclasses", "hashlib", "logging", "shutil", "tempfile", "urllib3"} | besides
    assert not dear & {*ran.stdout.split()}
    assert (ran.code, "weightdock.cache" in ran.stdout.split()) == (0, True), ran.stderr


@pytest.mark.parametrize(
    ("listed", "code", "said"),
    [
        ("timm/convnext_tiny # this one\n\nyolo11n*\n", 5, "toy"),
        ("\ufefftimm/convnext_tiny\nyolo11n*\n", 5, "toy"),
        ("# nothing\n", 2, "error: <stdin> names no model"),
        ("timm/convnext_tinny\n", 2, "error: unknown model 'timm/convnext_tinny'"),
    ],
)
def test_names_come_from_a_file_or_from_stdin(tmp_path: Path, listed: str, code: int, said: str) -> None:
    given = environment({"WEIGHTDOCK_CACHE": str(tmp_path / "cache"), "WEIGHTDOCK_OFFLINE": "1"})
    command = [str(WEIGHTDOCK), "fetch", "--from", "-", "--json"]
    ran = subprocess.run(command, input=listed, capture_output=True, text=True, check=False, env=given, cwd=tmp_path)
    assert ran.returncode == code
    if code == 5:
        names = [row["model"] for row in json.loads(ran.stdout)["results"]]
        assert names == [
            "timm/convnext_tiny",
            "ultralytics/yolo11n",
            "ultralytics/yolo11n-seg",
            "ultralytics/yolo11n-pose",
        ]
    else:
        assert ran.stderr.startswith(said)
