"""docs/adding-a-framework.md, walked through: its files where they belong, its commands in their order."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import weightdock
from support.command import WEIGHTDOCK, Ran, run
from support.servers import Server
from support.serving import serving

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-framework.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(common/src/\S+)`\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ (weightdock .*)$", PAGE, re.MULTILINE)
LIBRARY = """
__version__ = "1.0"
NAMES = ("oak", "pine-large", "pine-small")

def load(path):
    if not path.read_bytes().startswith(b"Va plank"):
        raise ValueError("no plank")
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def release(tmp_path: Path) -> Iterator[str]:
    """GitHub, with the release in which the framework has its weights."""
    home = tmp_path / "github" / "example/shelf/releases/download/v1"
    home.mkdir(parents=True)
    for name in ("oak", "pine-large", "pine-small"):
        (home / f"{name}.pt").write_bytes(pickle.dumps(f"a plank of {name}", protocol=0))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "github")))) as url:
        yield url


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package as it is, and the page's files in it."""
    folder = tmp_path / "checkout"
    shutil.copytree(Path(weightdock.__file__).parent, folder / "common/src/weightdock")
    for name, text in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "shelf.py").write_text(LIBRARY, encoding="utf-8")
    return folder


def test_the_page_has_what_a_framework_is_made_of_and_nothing_that_is_there_changes() -> None:
    assert [Path(name).relative_to("common/src/weightdock") for name, _ in FILES] == [
        Path("catalogue/shelf/models.toml"),
        Path("origins/shelf.py"),
    ]
    assert [command.split()[1] for command in COMMANDS] == ["lock", "upload", "upload", "fetch"]


def test_the_page_walked_through_gives_a_framework_that_is_locked_planned_uploaded_and_fetched(
    moto: Server, release: str, checkout: Path, tmp_path: Path
) -> None:
    bucket = moto.new_bucket()
    given = moto.environment(
        bucket,
        PYTHONPATH=f"{checkout / 'common/src'}:{checkout}",
        WEIGHTDOCK_GITHUB_URL=release,
        WEIGHTDOCK_CACHE=str(tmp_path / "uploader"),
    )

    def follow(command: str) -> Ran:
        there = command.replace("weightdock", shlex.quote(str(WEIGHTDOCK)), 1)
        cache = {"WEIGHTDOCK_CACHE": str(tmp_path / "node")} if " fetch " in command else {}
        return run(["sh", "-c", there], given | cache, cwd=checkout)

    ran = [follow(command) for command in COMMANDS]
    assert [one.code for one in ran] == [0, 0, 0, 0], "".join(one.stderr for one in ran)
    models = ("oak", "pine-large", "pine-small")
    lock = json.loads((checkout / "common/src/weightdock/catalogue/shelf/models.lock").read_bytes())
    assert tuple(lock["models"]) == models
    for name in models:
        assert f"models/pretrained/shelf/{name}.pt" in ran[1].stdout
        assert (tmp_path / "node" / "shelf" / f"{name}.pt").read_bytes() == pickle.dumps(
            f"a plank of {name}", protocol=0
        )
    assert [one.stdout.splitlines()[-1].partition(" · ")[0] for one in ran[1:]] == [
        "3 models: 3 would upload",
        "3 models: 3 uploaded",
        "3 models: 3 fetched",
    ]


def test_the_pages_module_reads_as_the_projects_own_code_does(checkout: Path) -> None:
    ruff, module = WEIGHTDOCK.with_name("ruff"), checkout / "common/src/weightdock/origins/shelf.py"
    settings = ["--config", str(Path(__file__).parents[2] / "pyproject.toml")]
    checked = run([ruff, "check", *settings, "--ignore", "S310,BLE001", module], {}, cwd=checkout)
    assert checked.code == 0, checked.stdout
    formatted = run([ruff, "format", "--check", *settings, module], {}, cwd=checkout)
    assert formatted.code == 0, formatted.stdout
