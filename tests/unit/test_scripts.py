"""What the scripts of docker/ and .ci/ do on a machine that is set up otherwise; each as somebody would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from weightdock_driver import hardening

ROOT = Path(__file__).parents[2]


def ended(*command: str | Path, cwd: Path = ROOT, **given: str) -> subprocess.CompletedProcess[str]:
    """What a command came to, with nothing of this machine's settings but PATH."""
    given = {"PATH": os.environ["PATH"], **given}
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, check=False)


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """A copy, so that it writes into a .build of its own."""
    (tmp_path / "images").mkdir()
    shutil.copy(ROOT / "images" / "torch-requirements.txt", tmp_path / "images")
    (tmp_path / "docker").mkdir()
    return Path(shutil.copy(ROOT / "docker" / "wheelhouse", tmp_path / "docker"))


@pytest.mark.parametrize("command", [["docker/local-stack", "down"], [".ci/run"]])
def test_a_script_goes_to_its_clone_whatever_the_callers_cdpath_is(tmp_path: Path, command: list[str]) -> None:
    for folder in ("bin", "docker", ".ci"):
        (tmp_path / folder).mkdir()
    for program in ("docker", "make"):
        stand_in = tmp_path / "bin" / program
        stand_in.write_text("#!/bin/sh\npwd\n")
        stand_in.chmod(0o755)
    ran = ended(*command, PATH=f"{tmp_path}/bin:{os.environ['PATH']}", CDPATH=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert set((ran.stdout + ran.stderr).splitlines()) == {str(ROOT)}


@pytest.mark.parametrize(
    "script", ["base-image", "bootstrap-node", "browser", "engine", "host-venv", "local-stack", "sbom", "wheelhouse"]
)
def test_every_script_tells_its_usage(script: str) -> None:
    ran = ended(f"docker/{script}", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.search(rf"^(Usage: |.*: )docker/{script}\b", ran.stdout, re.MULTILINE)


def test_bootstrap_node_holds_its_container_in_as_the_driver_does() -> None:
    script = (ROOT / "docker" / "bootstrap-node").read_text(encoding="utf-8")
    ours = hardening.sdk_arguments(4 << 30)
    (tmp,) = ours["tmpfs"].items()
    for option in (
        "--init",
        "--read-only",
        f"--pids-limit {ours['pids_limit']}",
        f'--tmpfs "{":".join(tmp)}"',
        f"--cap-drop {ours['cap_drop'][0]}",
        f"--security-opt {ours['security_opt'][0].partition(':')[0]}",
        f"--user {ours['user']}",
    ):
        assert f" {option}" in script or f"({option}" in script, option


def test_bootstrap_node_tells_its_container_what_compose_tells_a_node() -> None:
    script = (ROOT / "docker" / "bootstrap-node").read_text(encoding="utf-8")
    [passed] = re.findall(r"^readonly passed=\(([^)]*)\)", script, re.MULTILINE)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    of_uploaders = re.compile("WEIGHTDOCK_GITHUB_URL|HF_ENDPOINT|WEIGHTDOCK_LICENCE_.*")
    told = {name for name in compose["services"]["node"]["environment"] if not of_uploaders.fullmatch(name)}
    assert set(passed.split()) == told


def test_a_script_that_changes_folder_tells_its_usage_from_wherever_it_is_called() -> None:
    ran = ended("./local-stack", "--help", cwd=ROOT / "docker")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Usage: docker/local-stack up SERVICE" in ran.stdout


def test_without_docker_a_bill_of_materials_is_refused_with_what_helps(tmp_path: Path) -> None:
    ran = ended(sys.executable, "docker/sbom", "weightdock/node", PATH=str(tmp_path))
    assert ran.returncode == 6
    assert ran.stderr == "error: no bill of weightdock/node\ncause: there is no docker\nnext: docker/engine\n"


def test_where_the_bill_s_own_tool_fails_no_images_are_to_be_made(tmp_path: Path) -> None:
    for stand_in, does in (
        ("bin/docker", "tar --create --files-from /dev/null"),
        (".venv/bin/cyclonedx-py", "echo no module named cyclonedx >&2; exit 1"),
    ):
        (tmp_path / stand_in).parent.mkdir(parents=True)
        (tmp_path / stand_in).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / stand_in).chmod(0o755)
    (tmp_path / "docker").mkdir()
    sbom = shutil.copy(ROOT / "docker" / "sbom", tmp_path / "docker")
    ran = ended(sbom, "weightdock/node", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert (ran.returncode, ran.stderr.splitlines()[1:]) == (
        6,
        ["cause: no module named cyclonedx", "next: rm -rf .venv && make sbom"],
    )


@pytest.mark.engine
def test_without_an_engine_no_images_are_to_be_made_for_a_bill_of_materials() -> None:
    ran = ended("docker/sbom", "weightdock/node", DOCKER_HOST="unix:///nonexistent.sock")
    error, cause, helps = ran.stderr.splitlines()
    assert (ran.returncode, error, helps) == (6, "error: no bill of weightdock/node", "next: docker/engine")
    assert "annot connect to the Docker daemon" in cause


def test_certificates_in_a_folder_are_refused_with_what_helps(tmp_path: Path, wheelhouse: Path) -> None:
    ran = ended(wheelhouse, HOME=str(tmp_path), PIP_CONFIG_FILE=os.devnull, SSL_CERT_FILE="/etc/ssl")
    error, cause, helps = ran.stderr.splitlines()
    assert (ran.returncode, error) == (2, "error: SSL_CERT_FILE names a folder")
    assert cause.startswith("cause: /etc/ssl is one")
    assert helps.startswith("next: export SSL_CERT_FILE=")


@pytest.mark.parametrize("index", ["pypi.org/simple", "name:password@pypi.org/simple", "https://[pypi.org/simple"])
def test_an_index_that_is_no_url_is_refused_with_what_helps(tmp_path: Path, wheelhouse: Path, index: str) -> None:
    ran = ended(wheelhouse, HOME=str(tmp_path), PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=index)
    error, cause, helps = ran.stderr.splitlines()
    assert (ran.returncode, error) == (2, "error: an index of pip is no URL")
    assert cause.endswith("pypi.org/simple/torch/ cannot be asked for")
    assert "password" not in cause
    assert helps.startswith("next: write it with its scheme")


def test_a_folder_of_links_without_torch_is_no_index(tmp_path: Path, wheelhouse: Path) -> None:
    ran = ended(wheelhouse, cwd=tmp_path, HOME=str(tmp_path), PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="images")
    assert (ran.returncode, ran.stderr.splitlines()[0][:15]) == (2, "error: no torch")
