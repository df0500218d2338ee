"""The one file that fills a node, on a real engine, with a store on this machine."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.node_machine import MODEL, ROOT, WEIGHTS, Machine
from support.stand_ins import docker

pytestmark = pytest.mark.engine


def test_a_node_is_filled_at_the_first_boot_and_asks_nobody_at_the_next(machine: Machine) -> None:
    first = machine.boot("--model", str(MODEL))
    assert first.code == 0, first.err
    (row,) = first.summary["report"]["results"]
    assert (first.summary["exit_code"], first.summary["gpus"], row["outcome"]) == (0, None, "fetched")
    assert (machine.cache / "timm" / "convnext_tiny.pth").read_bytes() == WEIGHTS
    assert "no nvidia-smi here" in first.err
    nowhere = replace(machine, given=machine.given | {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:1"})
    second = nowhere.boot("--model", str(MODEL))
    assert (second.code, second.summary["report"]["results"][0]["outcome"]) == (0, "in the cache"), second.err


def test_secrets_come_from_a_file_or_by_name_and_never_as_an_argument(machine: Machine) -> None:
    secrets = machine.folder / "node.env"
    secrets.write_text(
        "".join(f"{name}={value}\n" for name, value in machine.given.items()) + "WEIGHTDOCK_CACHE=/tmp/elsewhere\n"
    )
    bare = replace(machine, given={})
    booted = bare.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(secrets))
    assert booted.code == 0, booted.err
    assert (machine.cache / "timm/convnext_tiny.pth").read_bytes() == WEIGHTS
    nowhere = bare.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE="/nowhere")
    assert (nowhere.code, nowhere.summary["error"]["what"]) == (2, "the credentials in /nowhere cannot be read")


def test_what_ended_a_run_without_a_report_is_in_the_line_for_machines(machine: Machine) -> None:
    empty = machine.folder / "empty.env"
    empty.touch()
    unset = machine.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(empty))
    away = replace(machine, given=machine.given | {"AWS_S3_ENDPOINT_URL": "http://127.0.0.1:1"}).boot()
    unstarted = machine.boot("--model", str(MODEL), WEIGHTDOCK_NETWORK="no-such-network")
    said = [(one.code, one.summary["exit_code"], one.summary["report"]) for one in (unset, away, unstarted)]
    assert said == [(2, 2, None), (5, 5, None), (6, 6, None)]
    for one in (unset, away, unstarted):
        error = one.summary["error"]
        assert f"error: {error['what']}\ncause: {error['cause']}\nnext: {error['next']}\n" in one.err
    assert unset.summary["error"]["what"] == "R2 credentials not configured"
    assert away.summary["error"]["what"].startswith("the store did not give ")
    assert "no-such-network" in unstarted.summary["error"]["cause"]
    assert unstarted.summary["error"]["next"] == "docker network ls, and WEIGHTDOCK_NETWORK=<one of these>"


def test_what_the_image_advises_is_said_of_this_machine(machine: Machine) -> None:
    unset = replace(machine, given={}).boot("--model", str(MODEL))
    assert (unset.code, unset.summary["error"]["what"]) == (2, "R2 credentials not configured")
    assert "on a node in node.env" in unset.summary["error"]["next"]
    misspelt = machine.boot("--modle", str(MODEL))
    assert (misspelt.code, misspelt.summary["error"]["next"]) == (2, "docker run --rm weightdock/node:latest --help")
    assert docker(*misspelt.summary["error"]["next"].split()[1:]).startswith("Usage: weightdock fetch ")


def test_the_models_are_those_of_a_file_of_this_machine_or_of_stdin(machine: Machine) -> None:
    listed = machine.folder / "models.txt"
    listed.write_text(f"{MODEL}  # and no other\n")
    for arguments in (["--from", "models.txt"], [f"--from={listed}"]):
        booted = machine.boot(*arguments)
        assert (booted.code, [row["model"] for row in booted.summary["report"]["results"]]) == (0, [str(MODEL)])
    with listed.open() as stdin:
        booted = replace(machine, stdin=stdin).boot("--from", "-")
    assert (booted.code, [row["model"] for row in booted.summary["report"]["results"]]) == (0, [str(MODEL)])
    for nothing in ("nowhere.txt", str(machine.folder), ""):
        booted = machine.boot("--from", nothing)
        assert (booted.code, booted.summary["error"]["what"]) == (2, f"the list of models {nothing} cannot be read")


def test_a_closed_stdin_is_no_list_of_models(machine: Machine) -> None:
    script = machine.folder / "closed"
    script.write_text('#!/bin/sh\nexec "$0-bootstrap-node" "$@" <&-\n')
    script.chmod(0o755)
    shutil.copy(ROOT / "docker" / "bootstrap-node", f"{script}-bootstrap-node")
    booted = machine.boot("--from", "-", script=script)
    assert (booted.code, booted.summary["error"]["cause"]) == (2, "stdin is closed")


def test_stdout_is_one_line_so_events_are_refused(machine: Machine) -> None:
    booted = machine.boot("--events")
    assert (booted.code, booted.summary["error"]["what"]) == (2, "--events is not for a node's boot")


def test_an_engine_that_does_not_answer_is_told_with_the_true_cause(machine: Machine) -> None:
    nowhere = "unix:///nonexistent.sock"
    of_a_checkout = machine.boot(script=ROOT / "docker" / "bootstrap-node", DOCKER_HOST=nowhere)
    assert (of_a_checkout.code, of_a_checkout.summary["exit_code"]) == (6, 6)
    assert of_a_checkout.summary["error"]["cause"].startswith(f"DOCKER_HOST is set to {nowhere}: ")
    assert of_a_checkout.err.count("error: ") == 1
    alone = machine.boot(DOCKER_HOST=nowhere)
    assert alone.summary["error"]["cause"].endswith("docker/engine is not beside this script")


def test_a_cache_that_cannot_be_made_is_told_with_what_the_system_says(machine: Machine) -> None:
    machine.cache.write_text("no folder")
    booted = machine.boot()
    assert (booted.code, booted.summary["error"]["what"]) == (2, f"the cache {machine.cache} cannot be made")
    assert booted.summary["error"]["cause"].endswith("File exists")


def test_a_folder_that_cannot_be_given_to_the_image_s_user_is_told(machine: Machine) -> None:
    refuses = machine.folder / "bin" / "chgrp"  # as root is refused where an export squashes it
    refuses.parent.mkdir()
    refuses.write_text("#!/bin/sh\necho chgrp: Operation not permitted >&2\nexit 1\n")
    refuses.chmod(0o755)
    booted = machine.boot(PATH=f"{refuses.parent}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["error"]) == (
        2,
        {
            "what": f"the cache {machine.cache} cannot be made",
            "cause": "chgrp: Operation not permitted",
            "next": "WEIGHTDOCK_CACHE=<folder>",
        },
    )


def containers() -> list[str]:
    return docker("ps", "--quiet", "--filter", "name=weightdock-node-").split()


@pytest.fixture
def waiting(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """One whose container runs, and would wait for an hour."""
    before = containers()
    with machine.begin("--jitter", "3600") as running:
        try:
            while containers() == before and running.poll() is None:
                time.sleep(0.05)
            yield running
        finally:
            running.kill()
    assert containers() == before


def test_a_run_that_is_ended_says_so_and_ends_its_container(waiting: subprocess.Popen[str]) -> None:
    waiting.terminate()
    out, _ = waiting.communicate(timeout=60)
    summary = json.loads(out)
    assert (waiting.returncode, summary["exit_code"]) == (143, 143)
    assert summary["error"]["what"] == "ended by SIGTERM"


@pytest.mark.parametrize(
    ("command", "code", "what", "cause"),
    [
        ("stop", 143, "the container was ended", "somebody stopped it, or its engine"),
        (
            "kill",
            6,
            "the engine did not run the container to its end",
            "docker run ended with 137: something killed it",
        ),
    ],
)
def test_a_container_that_somebody_ends_is_told_as_that(
    waiting: subprocess.Popen[str], command: str, code: int, what: str, cause: str
) -> None:
    docker(command, containers()[0])
    out, _ = waiting.communicate(timeout=60)
    summary = json.loads(out)
    assert (waiting.returncode, summary["exit_code"], summary["error"]["what"]) == (code, code, what)
    assert summary["error"]["cause"].startswith(cause)


def test_a_folder_that_is_there_keeps_what_it_allows_to_others(machine: Machine) -> None:
    machine.cache.mkdir()
    machine.cache.chmod(0o1777)
    assert machine.boot("--model", str(MODEL), WEIGHTDOCK_CACHE="cache").code == 0  # below the current folder
    status = machine.cache.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o3777, 10001)


def test_the_gpus_are_counted_where_there_are_some(machine: Machine) -> None:
    smi = machine.folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H100\n")
    smi.chmod(0o755)
    booted = machine.boot("--model", str(MODEL), PATH=f"{machine.folder}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["gpus"]) == (0, 2)
    assert "2 GPUs: 2 NVIDIA H100" in booted.err
