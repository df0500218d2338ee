"""The driver runs where Docker Desktop does, so it may ask for nothing that only Unix has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import as_on_windows
from support.command import run
from support.driver_fakes import SETTINGS


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "Usage: weightdock-driver [OPTIONS] COMMAND"),
        (["upload", "--framework", "timm"], "timm/convnext_tiny"),
        (["bootstrap"], "ultralytics/yolo11n"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_without_what_windows_lacks_every_module_is_imported_and_a_run_ends_well(
    tmp_path: Path, arguments: list[str], shown: str
) -> None:
    tests = str(Path(as_on_windows.__file__).parents[1])
    given = {**SETTINGS, "PYTHONPATH": tests, "WEIGHTDOCK_CACHE": str(tmp_path / "cache")}
    ran = run([sys.executable, as_on_windows.__file__, *arguments], given, cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    assert shown in ran.stdout
