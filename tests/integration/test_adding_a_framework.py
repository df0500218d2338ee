"""docs/adding-a-framework.md, walked through: its files where they belong, its commands in their order."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import pytest

import weightdock
from support.command import WEIGHTDOCK, Ran, run
from support.servers import Server
from support.serving import serving
from support.stand_ins import ROOT, docker

PAGE = (ROOT / "docs" / "adding-a-framework.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(common/src/\S+)`\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ (weightdock .*)$", PAGE, re.MULTILINE)
COPYING = re.findall(r"^\$ ((?:cp|sed) .*)$", PAGE, re.MULTILINE)
(CHECK,) = (dedent(text) for text in re.findall(r"^  ```dockerfile\n(.*?)^  ```$", PAGE, re.MULTILINE | re.DOTALL))
(SERVICE,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LIBRARY = """
__version__ = "1.0"
NAMES = ("oak", "pine-large", "pine-small")

def load(path):
    if b"a plank" not in path.read_bytes():
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
        (home / f"{name}.pt").write_bytes(pickle.dumps(f"a plank of {name}", protocol=2))
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


def follow(command: str, checkout: Path, given: dict[str, str]) -> Ran:
    """What the page says to run, in a shell, with the library beside weightdock."""
    there = command.replace("weightdock", shlex.quote(str(WEIGHTDOCK)), 1)
    beside = {"PYTHONPATH": f"{checkout / 'common/src'}:{checkout}"}
    return run(["sh", "-c", there], given | beside, cwd=checkout)


def test_the_page_has_what_a_framework_is_made_of() -> None:
    assert [Path(name).relative_to("common/src/weightdock") for name, _ in FILES] == [
        Path("catalogue/shelf/models.toml"),
        Path("origins/shelf.py"),
    ]
    assert [command.split()[1] for command in COMMANDS] == ["lock", "upload", "upload", "fetch"]


def test_the_page_walked_through_gives_a_framework_that_is_locked_planned_uploaded_and_fetched(
    moto: Server, release: str, checkout: Path, tmp_path: Path
) -> None:
    bucket = moto.new_bucket()
    given = moto.environment(bucket, WEIGHTDOCK_GITHUB_URL=release)
    caches = [tmp_path / ("node" if " fetch " in command else "uploader") for command in COMMANDS]
    ran = [
        follow(command, checkout, given | {"WEIGHTDOCK_CACHE": str(cache)})
        for command, cache in zip(COMMANDS, caches, strict=True)
    ]
    assert [one.code for one in ran] == [0, 0, 0, 0], "".join(one.stderr for one in ran)
    models = ("oak", "pine-large", "pine-small")
    lock = json.loads((checkout / "common/src/weightdock/catalogue/shelf/models.lock").read_bytes())
    assert tuple(lock["models"]) == models
    for name in models:
        assert f"models/pretrained/shelf/{name}.pt" in ran[1].stdout
        assert (tmp_path / "node" / "shelf" / f"{name}.pt").read_bytes() == pickle.dumps(
            f"a plank of {name}", protocol=2
        )
    assert [one.stdout.splitlines()[-1].partition(" · ")[0] for one in ran[1:]] == [
        "3 models: 3 would upload",
        "3 models: 3 uploaded",
        "3 models: 3 fetched",
    ]


def test_a_lock_that_could_not_be_written_leaves_the_one_that_is_there(checkout: Path, tmp_path: Path) -> None:
    lock = checkout / "common/src/weightdock/catalogue/shelf/models.lock"
    lock.write_text("as it was")
    nowhere = {"WEIGHTDOCK_GITHUB_URL": "http://127.0.0.1:1", "WEIGHTDOCK_CACHE": str(tmp_path / "cache")}
    assert follow(COMMANDS[0], checkout, nowhere).code == 3
    assert lock.read_text() == "as it was"


@pytest.fixture
def image_of_the_page(checkout: Path, release: str, tmp_path: Path) -> Iterator[str]:
    """Step 4, done as it says after the lock, and built; the library is a wheel of this machine."""
    locking = follow(COMMANDS[0], checkout, {"WEIGHTDOCK_GITHUB_URL": release, "WEIGHTDOCK_CACHE": str(tmp_path / "c")})
    assert locking.code == 0, locking.stderr
    shutil.copytree(ROOT / "images", checkout / "images")
    shutil.copy(ROOT / "common/pyproject.toml", checkout / "common")
    shutil.copy(ROOT / "common/README.md", checkout / "common")
    shutil.copy(ROOT / ".dockerignore", checkout)
    assert [run(["sh", "-c", command], {}, cwd=checkout).code for command in COPYING] == [0, 0]
    home, build = checkout / "images/shelf", checkout / ".build"
    kept = (home / "requirements.txt").read_text().partition("# Multipart uploads")[2]
    (home / "requirements.txt").write_text(f"shelf==1.0\n\n# Multipart uploads{kept}")
    lay_out_what_builds_need(checkout)
    hashes = {**hashes_of(home / "requirements.lock"), "shelf": [wheel_of_the_library(build / "wheelhouse")]}
    (home / "requirements.lock").write_text(
        "".join(
            f"{pin} {' '.join(f'--hash=sha256:{one}' for one in hashes[pin.partition('==')[0]])}\n"
            for pin in re.findall(r"^[\w.-]+==\S+$", (home / "requirements.txt").read_text(), re.MULTILINE)
        )
    )
    text = re.sub(r"    && HF_HOME.*?\"\n", lambda _: CHECK, (home / "Dockerfile").read_text(), flags=re.DOTALL)
    text = text.replace(" images/torch-requirements.txt", "")
    text = re.sub(r"    && [^&]*/torch-requirements.txt \\\n", "", text)
    (home / "Dockerfile").write_text(text)
    with (build / "pip.conf").open("a") as settings:
        settings.write("find-links = /wheelhouse\n")
    compose = (ROOT / "compose.yaml").read_text()
    (checkout / "compose.yaml").write_text(compose.replace("  node:\n", f"{SERVICE}\n  node:\n", 1))
    image = f"weightdock/shelf-uploader:test-{uuid4().hex[:12]}"
    (checkout / "compose.override.yaml").write_text(f"services: {{shelf-uploader: {{image: '{image}'}}}}\n")
    built = subprocess.run(
        ["docker", "compose", "build", "shelf-uploader"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    yield image
    docker("image", "rm", "--force", image)


def lay_out_what_builds_need(checkout: Path) -> None:
    """As ``make images`` does; torch is not to be had then, and not needed."""
    (checkout / "docker").mkdir()
    script = shutil.copy(ROOT / "docker/wheelhouse", checkout / "docker")
    given = os.environ | {"PIP_FIND_LINKS": str(checkout), "PIP_EXTRA_INDEX_URL": ""}
    ended = subprocess.run([script], env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 or "error: no torch" in ended.stderr, ended.stderr


def wheel_of_the_library(folder: Path) -> str:
    """Made there; gives its digest."""
    path, about = folder / "shelf-1.0-py3-none-any.whl", "shelf-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("shelf.py", LIBRARY)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hashes_of(lock: Path) -> dict[str, list[str]]:
    """The digests of each requirement."""
    each = re.split(r"\n(?=\w)", lock.read_text())
    return {one.partition("==")[0]: re.findall("sha256:([0-9a-f]{64})", one) for one in each}


@pytest.mark.engine
def test_the_image_that_the_page_tells_to_make_is_built_and_uploads(
    moto: Server, release: str, image_of_the_page: str
) -> None:
    given = moto.environment(moto.new_bucket(), WEIGHTDOCK_GITHUB_URL=release)
    del given["WEIGHTDOCK_CACHE"]
    options = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
    ran = docker("run", "--rm", "--network", "host", *options, image_of_the_page)
    assert ran.splitlines()[-1].startswith("3 models: 3 uploaded")


def test_the_pages_module_reads_as_the_projects_own_code_does(checkout: Path) -> None:
    ruff, module = WEIGHTDOCK.with_name("ruff"), checkout / "common/src/weightdock/origins/shelf.py"
    settings = ["--config", str(ROOT / "pyproject.toml")]
    checked = run([ruff, "check", *settings, "--ignore", "S310,BLE001", module], {}, cwd=checkout)
    assert checked.code == 0, checked.stdout
    formatted = run([ruff, "format", "--check", *settings, module], {}, cwd=checkout)
    assert formatted.code == 0, formatted.stdout
