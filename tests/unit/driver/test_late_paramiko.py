"""What only ssh needs is not imported by a run on another engine, as processes show that had imported nothing yet."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.command import run

LOADED = "import sys, weightdock_driver.engine\n{then}\nprint('paramiko.client' in sys.modules)"


@pytest.mark.parametrize(
    ("then", "loaded"), [("import paramiko", False), ("import paramiko; assert paramiko.SSHClient()", True)]
)
def test_paramiko_is_loaded_when_something_of_it_is_used(tmp_path: Path, then: str, loaded: bool) -> None:
    ran = run([sys.executable, "-c", LOADED.format(then=then)], {}, cwd=tmp_path)
    assert (ran.code, ran.stdout) == (0, f"{loaded}\n"), ran.stderr
