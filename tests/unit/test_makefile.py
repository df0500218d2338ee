"""What make would do, as it says with -n: which store a target means."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO_KEY = "AWS_ACCESS_KEY_ID=weightdock"


def said(*arguments: str, clone: Path = ROOT) -> str:
    """The commands, one a line, and what make complains of."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", *arguments]
    given = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY_FILE": "/run/secrets/real"}
    ended = subprocess.run(command, cwd=clone, env=given, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


def probed(variable: str, *arguments: str) -> str:
    """What a command of make finds in its environment."""
    probe = "probe:\n\t@echo $$" + variable + "\n"
    command = ["make", "--no-print-directory", "-f", "Makefile", "-f", "-", "probe", *arguments]
    given = {"PATH": os.environ["PATH"], "WEIGHTDOCK_CACHE": "/real", "CDPATH": "/elsewhere"}
    ended = subprocess.run(command, cwd=ROOT, input=probe, env=given, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.mark.parametrize("wrong", ["ON=dmo", "ON=Demo", "ON=demo demo2", "ORIGIN=upstraem"])
@pytest.mark.parametrize("target", ["upload-all", "verify"])
def test_a_misspelt_store_is_refused_and_never_the_real_one(target: str, wrong: str) -> None:
    assert "ON may be demo and ORIGIN upstream" in said(target, wrong)
    assert "weightdock-driver upload" not in said(target, wrong)


@pytest.mark.parametrize("target", ["swarm-upload", "swarm-bootstrap"])
def test_a_fleet_is_none_of_the_demos(target: str) -> None:
    assert "weightdock-driver swarm" in said(target)
    assert "weightdock-driver swarm" not in said(target, "ON=demo")


@pytest.mark.parametrize("target", ["verify", "status"])
def test_the_demo_knows_nothing_of_the_environment_and_of_dotenv(target: str) -> None:
    (line,) = (line for line in said(target, "ON=demo").splitlines() if "bin/weightdock " in line)
    words = shlex.split(line)
    assert words[:5] == ["cd", ".build", "&&", "env", "-i"]
    assert words.index("AWS_S3_ENDPOINT_URL=http://127.0.0.1:9000") < words.index("../.venv/bin/weightdock")
    assert DEMO_KEY in words
    assert DEMO_KEY not in said(target)


@pytest.mark.parametrize("target", ["upload-all", "upload/timm", "plan", "verify", "status", "bootstrap"])
def test_after_a_failure_on_the_demo_it_is_said_how_a_message_s_command_means_it(target: str) -> None:
    assert '|| { code=$?; echo "$ON_DEMO" >&2; exit $code; }' in said(target, "ON=demo")
    assert "ON_DEMO" not in said(target)


def test_what_is_said_after_a_failure_on_the_demo_can_be_run_there() -> None:
    assert probed("ON_DEMO", "ON=demo") == (
        "On the demo (make demo starts it): make … ON=demo, or .venv/bin/weightdock-driver "
        "--env-file docker/local/r2/settings.env --env-file docker/local/origin/settings.env … --network weightdock"
    )


def test_real_weights_are_nothing_to_the_demo_s_own() -> None:
    upstream = said("demo", "ORIGIN=upstream")
    for command in ("upload", "bootstrap"):
        (line,) = (line for line in upstream.splitlines() if f" {command} --network" in line)
        assert "r2/settings.env --env-file docker/local/r2/upstream.env " in line
    assert "WEIGHTDOCK_PREFIX=models/pretrained WEIGHTDOCK_PREFIX=models/upstream " in said(
        "verify", "ON=demo", "ORIGIN=upstream"
    )


def test_the_demo_s_run_is_not_on_the_real_store_s_page() -> None:
    assert "--save .build/demo-run.json" in said("demo")
    assert "last-run" not in said("demo")


def test_the_demo_has_a_cache_of_its_own() -> None:
    assert probed("WEIGHTDOCK_CACHE", "ON=demo") == f"{ROOT}/.build/demo-cache"
    assert probed("WEIGHTDOCK_CACHE") == "/real"


def test_a_lock_is_taken_by_an_image_that_knows_the_catalogue() -> None:
    commands = said("lock/timm")
    assert 0 < commands.index(" build\n") < commands.index("lock --framework timm")
    assert "No rule to make target" in said("lock/tim")


def test_a_clone_may_lie_in_a_folder_with_a_space(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    (clone / ".build").mkdir(parents=True)
    (clone / ".build" / "last-run.json").touch()
    for name in ("Makefile", "common", "docker"):
        (clone / name).symlink_to(ROOT / name)
    (line,) = (line for line in said("status", clone=clone).splitlines() if "bin/weightdock " in line)
    built = f"{clone}/.build"
    assert shlex.split(line)[2:] == ["--html", f"{built}/status.html", "--run", f"{built}/last-run.json"]


@pytest.mark.parametrize(("deep", "options"), [("", []), ("0", []), ("1", ["--deep"]), ("yes", ["--deep"])])
def test_only_a_deep_that_is_neither_empty_nor_0_reads_every_byte(deep: str, options: list[str]) -> None:
    (line,) = (line for line in said("verify", f"DEEP={deep}").splitlines() if "bin/weightdock " in line)
    assert shlex.split(line)[1:] == ["verify", *options]


def test_no_recipe_changes_folder_by_the_callers_cdpath() -> None:
    assert probed("{CDPATH-}") == ""


@pytest.mark.engine
def test_the_demo_s_stack_says_what_is_wrong_with_the_engine() -> None:
    given = {"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nonexistent.sock"}
    for arguments, code, first in (
        (["down"], 6, "error: the demo's store and origin could not be ended"),
        (["up", "local-r2"], 6, "error: the demo's store and origin could not be started"),
        (["up"], 2, "error: no service to start"),
        (["up", "--build"], 2, "error: no service to start"),
        (["sideways"], 2, "error: unknown argument 'sideways'"),
        (["down", "local-r2"], 2, "error: unknown argument 'local-r2'"),
    ):
        ended = subprocess.run(
            [ROOT / "docker" / "local-stack", *arguments], env=given, capture_output=True, text=True, check=False
        )
        error, cause, then = ended.stderr.splitlines()[-3:]
        assert (ended.returncode, error, cause[:7], then[:6]) == (code, first, "cause: ", "next: ")
