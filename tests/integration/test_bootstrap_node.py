"""The one file that fills a node, on a real engine, with a store on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.node_machine import MODEL, ROOT, WEIGHTS, Machine
from support.stand_ins import docker

pytestmark = pytest.mark.engine


def called(machine: Machine, before: str = "", after: str = "") -> Path:
    """The script as a line of bash calls it, with ``before`` and ``after`` around it."""
    script = machine.folder / "called"
    script.write_text(f'#!/bin/bash\nexec {before} "$0-bootstrap-node" "$@" {after}\n')
    script.chmod(0o755)
    shutil.copy(ROOT / "docker" / "bootstrap-node", f"{script}-bootstrap-node")
    return script


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
    of_a_pipe = bare.boot("--model", str(MODEL), script=called(bare, "env WEIGHTDOCK_ENV_FILE=<(cat node.env)"))
    assert of_a_pipe.code == 0, of_a_pipe.err


def test_credentials_that_docker_does_not_read_are_told_in_its_words(machine: Machine) -> None:
    (machine.folder / "refused.env").write_text("export NAME=\n")
    for file, cause in ((machine.folder, "is a directory"), (machine.folder / "refused.env", "contains whitespaces")):
        booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_ENV_FILE=str(file))
        assert (booted.code, booted.summary["error"]["what"]) == (2, f"the credentials in {file} cannot be read")
        assert booted.summary["error"]["cause"].startswith("docker: ")
        assert booted.summary["error"]["cause"].endswith(cause)


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
    assert (misspelt.code, misspelt.summary["error"]["next"]) == (
        2,
        "docker run --rm --entrypoint weightdock weightdock/node:latest fetch --help",
    )
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
    booted = machine.boot("--from", "-", script=called(machine, after="<&-"))
    assert (booted.code, booted.summary["error"]["cause"]) == (2, "stdin is closed")


def test_stdout_is_one_line_so_events_are_refused(machine: Machine) -> None:
    booted = machine.boot("--events")
    assert (booted.code, booted.summary["error"]["what"]) == (2, "--events is not for a node's boot")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2> >(true)"])
def test_a_stderr_that_takes_nothing_decides_nothing(machine: Machine, stderr: str) -> None:
    booted = machine.boot("--model", str(MODEL), script=called(machine, after=stderr))
    assert (booted.code, booted.summary["report"]["results"][0]["outcome"]) == (0, "fetched")
    refused = machine.boot("--events", script=called(machine, after=stderr))
    assert (refused.code, refused.summary["error"]["what"]) == (2, "--events is not for a node's boot")


def test_no_temporary_folder_is_told_and_none_is_left_where_stdout_takes_nothing(machine: Machine) -> None:
    booted = machine.boot("--events", TMPDIR="/nonexistent")
    assert (booted.code, booted.summary["error"]["what"]) == (2, "no folder for temporary files can be made")
    assert booted.summary["error"]["cause"].endswith("No such file or directory")
    temporary = machine.folder / "temporary"
    temporary.mkdir()
    for stdout in (">/dev/full", ">&-"):
        with machine.begin("--events", script=called(machine, after=stdout), TMPDIR=str(temporary)) as running:
            _, err = running.communicate()
        assert "--events is not for a node's boot" in err
        assert list(temporary.iterdir()) == []


def test_a_user_without_the_right_to_the_engine_hears_that(machine: Machine) -> None:
    nobody = called(machine, "setpriv --reuid 65534 --regid 65534 --clear-groups")
    booted = machine.boot(script=nobody)
    assert (booted.code, booted.summary["error"]["what"]) == (6, "no right to the container engine")
    assert booted.summary["error"]["cause"].startswith("permission denied while trying to connect to the ")
    assert booted.summary["error"]["next"].startswith("sudo usermod -aG docker ")


def test_what_is_beside_the_script_is_found_where_cdpath_is_exported(machine: Machine) -> None:
    for name in ("bootstrap-node", "engine"):
        (machine.folder / "docker").mkdir(exist_ok=True)
        shutil.copy(ROOT / "docker" / name, machine.folder / "docker")
    nowhere = {"DOCKER_HOST": "unix:///nonexistent.sock", "CDPATH": str(machine.folder)}
    booted = machine.boot(script=Path("docker/bootstrap-node"), **nowhere)
    assert booted.summary["error"]["cause"].startswith("DOCKER_HOST is set to ")


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


@pytest.mark.parametrize("odd", [",readonly", '"', "\n", "\t/below"])
def test_a_cache_whose_name_docker_reads_otherwise_is_refused_before_it_is_made(machine: Machine, odd: str) -> None:
    before = set(machine.folder.iterdir()) | {machine.folder / "bootstrap-node"}
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_CACHE=f"{machine.cache}{odd}")
    assert booted.code == 2
    assert booted.summary["error"]["what"].endswith(" cannot be the cache's folder")
    assert set(machine.folder.iterdir()) == before


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
    heard = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it would be heard by no child
    with machine.begin("--jitter", "3600") as running:
        signal.signal(signal.SIGHUP, heard)
        try:
            while containers() == before and running.poll() is None:
                time.sleep(0.05)
            yield running
        finally:
            running.kill()
    assert containers() == before


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_says_so_and_ends_its_container(
    waiting: subprocess.Popen[str], sent: signal.Signals
) -> None:
    waiting.send_signal(sent)
    out, _ = waiting.communicate(timeout=60)
    summary = json.loads(out)
    assert (waiting.returncode, summary["exit_code"]) == (128 + sent, 128 + sent)
    assert summary["error"]["what"] == f"ended by {sent.name}"


@pytest.mark.parametrize(
    ("command", "code", "what", "cause"),
    [
        ("stop", 143, "the container was ended", "somebody stopped it, or its engine"),
        ("kill --signal HUP", 129, "the container was ended", "somebody stopped it, or its engine"),
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
    docker(*command.split(), containers()[0])
    out, _ = waiting.communicate(timeout=60)
    summary = json.loads(out)
    assert (waiting.returncode, summary["exit_code"], summary["error"]["what"]) == (code, code, what)
    assert summary["error"]["cause"].startswith(cause)


@pytest.mark.parametrize(
    ("owner", "group", "mode", "code", "then"),
    [
        pytest.param(0, 0, 0o755, 0, (0, 10001, 0o2775), id="root's"),
        pytest.param(10001, 7777, 0o2770, 0, (10001, 7777, 0o2770), id="the container's user's"),
        pytest.param(0, 7777, 0o1777, 0, (0, 7777, 0o1777), id="everybody's"),
        pytest.param(1000, 7777, 0o2770, 2, (1000, 7777, 0o2770), id="somebody's"),
    ],
)
def test_a_folder_that_is_there_keeps_what_it_allows_to_others(
    machine: Machine, owner: int, group: int, mode: int, code: int, then: tuple[int, int, int]
) -> None:
    machine.cache.mkdir()
    os.chown(machine.cache, owner, group)
    machine.cache.chmod(mode)
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_CACHE="cache")  # below the current folder
    status = machine.cache.stat()
    assert (booted.code, (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))) == (code, then), booted.err
    if code:
        told = booted.summary["error"]
        assert told["what"] == f"the cache {machine.cache} cannot be written by the containers"
        assert told["next"].startswith(f"chown 10001 '{machine.cache}'; or")


def test_a_new_folder_is_the_image_s_group_whatever_group_its_parent_hands_on(machine: Machine) -> None:
    parent = machine.folder / "shared"
    parent.mkdir()
    os.chown(parent, 0, 7777)
    parent.chmod(0o2775)
    booted = machine.boot("--model", str(MODEL), WEIGHTDOCK_CACHE=str(parent / "cache"))
    assert (booted.code, (parent / "cache").stat().st_gid) == (0, 10001), booted.err


def test_the_gpus_are_counted_where_there_are_some(machine: Machine) -> None:
    smi = machine.folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H100\n")
    smi.chmod(0o755)
    booted = machine.boot("--model", str(MODEL), PATH=f"{machine.folder}:{os.environ['PATH']}")
    assert (booted.code, booted.summary["gpus"]) == (0, 2)
    assert "2 GPUs: 2 NVIDIA H100" in booted.err
