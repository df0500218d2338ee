"""The third framework, added as a contributor would add it: two files into a copy of the package, nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import weightdock
import weightdock.catalogue
import weightdock.origins

_HOME = Path(__file__).parent / "third_framework"


def with_third_framework(folder: Path) -> Path:
    """Copy the package into ``folder``, add the toy, and give what PYTHONPATH must be to get this copy."""
    package = folder / "weightdock"
    shutil.copytree(Path(weightdock.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(_HOME, package, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def toy_package(tmp_path: Path) -> Path:
    """A copy of weightdock that knows the toy: a folder for PYTHONPATH."""
    return with_third_framework(tmp_path / "with-toy")


@pytest.fixture
def toy_origin(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and the children that it starts know ``weightdock.origins.toy``.

    The module stays in sys.modules; nothing but these tests asks for it.
    """
    monkeypatch.setattr(weightdock.origins, "__path__", [*weightdock.origins.__path__, str(_HOME / "origins")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(toy_package), os.environ.get("PYTHONPATH", "")]))
