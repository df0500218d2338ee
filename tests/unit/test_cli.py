"""The command line, run as a user runs it: exit codes and whole messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import WEIGHTDOCK, environment, run, weightdock
from support.scripted_server import silent

CREDENTIALS = {
    "AWS_S3_ENDPOINT_URL": "https://account.r2.example",
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-shows-nowhere",
}
NOT_CONFIGURED = (
    "error: R2 credentials not configured\n"
    "cause: not set where settings are read from here: {missing}\n"
    "next: set them in the environment or in .env (see .env.example; with --env-file in that file, on a node in "
    "node.env); `make demo` is the way to try without an account\n"
)
ALL = "AWS_S3_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
NAMES = (
    "timm/tf_efficientnetv2_s.in1k, timm/convnext_tiny, timm/vit_base_patch16_224, ultralytics/yolo11n, "
    "ultralytics/yolo11n-seg, ultralytics/yolo11n-pose, ultralytics/yolo_world_v2_s, ultralytics/sam2_t"
)


def _unknown(kind: str, name: str, nearest: str) -> str:
    return (
        f"error: unknown {kind} '{name}'\n"
        f"cause: no {kind} of the catalogue has that name\n"
        f"next: nearest names: {nearest}\n"
    )


def _misused(problem: str, command: str) -> str:
    return f"error: {problem}\ncause: the command line was not understood\nnext: {command} --help\n"


@pytest.mark.parametrize("command", ["upload", "fetch"])
def test_without_credentials_nothing_is_started(tmp_path: Path, command: str) -> None:
    ran = weightdock(command, given={}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", NOT_CONFIGURED.format(missing=ALL))


@pytest.mark.parametrize(
    "arguments", [["upload"], ["upload", "--dry-run"], ["upload", "--json"], ["fetch"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("AWS_S3_ENDPOINT_URL",), "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS_S3_ENDPOINT_URL"),
    ],
)
def test_with_half_the_credentials_the_missing_ones_are_named(
    tmp_path: Path, arguments: list[str], given: tuple[str, ...], missing: str
) -> None:
    ran = weightdock(*arguments, given={name: CREDENTIALS[name] for name in given}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", NOT_CONFIGURED.format(missing=missing))


def test_a_dry_run_without_credentials_shows_the_keys_and_that_the_store_was_not_asked(tmp_path: Path) -> None:
    ran = weightdock("upload", "--framework", "timm", "--dry-run", given={}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "KEY                                                  PLAN          SIZE  SHA256\n"
        "models/pretrained/timm/tf_efficientnetv2_s.in1k.pth  would upload     -  -\n"
        "models/pretrained/timm/convnext_tiny.pth             would upload     -  -\n"
        "models/pretrained/timm/vit_base_patch16_224.pth      would upload     -  -\n"
        "\n"
        "3 models: 3 would upload\n",
        f"The keys, without knowing what is in the store:\n\n{NOT_CONFIGURED.format(missing=ALL)}",
    )


@pytest.mark.parametrize("option", ["--json", "--events"])
def test_a_dry_run_without_credentials_says_the_same_to_machines(tmp_path: Path, option: str) -> None:
    ran = weightdock("upload", "--model", "sam2_t", "--dry-run", option, given={}, cwd=tmp_path)
    assert ran.code == 2
    assert [row["key"] for row in json.loads(ran.stdout)["results"]] == ["models/pretrained/ultralytics/sam2_t.pt"]


def test_credentials_are_read_from_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_S3_ENDPOINT_URL=https://account.r2.example\nAWS_ACCESS_KEY_ID=key\n")
    (tmp_path / ".env").chmod(0o600)
    ran = weightdock("fetch", given={}, cwd=tmp_path)
    assert (ran.code, ran.stderr) == (2, NOT_CONFIGURED.format(missing="AWS_SECRET_ACCESS_KEY"))


@pytest.mark.parametrize("command", ["upload", "fetch"])
@pytest.mark.parametrize("endpoint", ["account.r2.example", "http://account.r2.example", "ftp://account.r2.example"])
def test_an_endpoint_that_cannot_be_used_is_refused(tmp_path: Path, command: str, endpoint: str) -> None:
    ran = weightdock(command, given=CREDENTIALS | {"AWS_S3_ENDPOINT_URL": endpoint}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (
        2,
        "",
        "error: AWS_S3_ENDPOINT_URL cannot be used\n"
        "cause: it must begin with https:// (http:// is for loopback and compose hosts only), "
        "or keys and weights would travel in the clear\n"
        "next: AWS_S3_ENDPOINT_URL=https://<account id>.r2.cloudflarestorage.com\n",
    )


@pytest.mark.parametrize("command", ["upload", "fetch"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--framework", "tim"], _unknown("framework", "tim", "timm")),
        (["--model", "yolo12n"], _unknown("model", "yolo12n", "yolo11n, yolo11n-seg, yolo11n-pose")),
        (["--model", "../secret"], _unknown("model", "../secret", NAMES)),
    ],
    ids=["framework", "model", "a path"],
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(
    tmp_path: Path, command: str, options: list[str], message: str
) -> None:
    ran = weightdock(command, *options, given=CREDENTIALS, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], _misused("Missing command.", "weightdock")),
        (["uplaod"], _misused("No such command 'uplaod'. Did you mean 'upload'?", "weightdock")),
        (["upload", "--twice"], _misused("No such option '--twice'.", "weightdock upload")),
        (["upload", "--framework"], _misused("Option '--framework' requires an argument.", "weightdock upload")),
        (["fetch", "--dry-run"], _misused("No such option '--dry-run'.", "weightdock fetch")),
        (
            ["resolve", "a/b", "--layout", "hub"],
            _misused("Option '--layout' requires 2 arguments.", "weightdock resolve"),
        ),
        (
            ["resolve", "a/b", "--layout", "hub", ""],
            _misused("Invalid value for '--layout': DIR is empty: name a folder", "weightdock resolve"),
        ),
        (["fetch", "timm"], _misused("Got unexpected extra argument (timm)", "weightdock fetch")),
        (
            ["--log-level", "loud", "fetch"],
            _misused("Invalid value for '--log-level': 'loud' is not one of 'info', 'debug'.", "weightdock"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_told_in_the_same_three_parts(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    ran = weightdock(*arguments, given={}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", message)


COMMANDS = ["fetch", "lock", "prune", "resolve", "status", "upload", "verify"]


def test_help_lists_every_command(tmp_path: Path) -> None:
    ran = weightdock("--help", given={}, cwd=tmp_path)
    _, _, commands = ran.stdout.partition("\nCommands:\n")
    assert (ran.code, ran.stderr) == (0, "")
    assert [line.split()[0] for line in commands.splitlines()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_shows_how_it_is_used(tmp_path: Path, command: str) -> None:
    ran = weightdock(command, "--help", given={}, cwd=tmp_path)
    usage, _, examples = ran.stdout.partition("\n  Examples:\n")
    assert (ran.code, ran.stderr) == (0, "")
    assert usage.startswith(f"Usage: weightdock {command} [OPTIONS]")
    assert examples
    assert {line.split("weightdock ")[1].split()[0] for line in examples.splitlines()} == {command}
    assert weightdock(command, "-h", given={}, cwd=tmp_path) == ran


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "lock"])
def test_the_examples_of_the_help_are_commands_that_are_understood(tmp_path: Path, command: str) -> None:
    (tmp_path / "models.txt").write_text("timm/convnext_tiny  # and no other\n")
    _, _, examples = weightdock(command, "--help", given={}, cwd=tmp_path).stdout.partition("\n  Examples:\n")
    empty = {"WEIGHTDOCK_CACHE": str(tmp_path / "cache")}
    for example in examples.splitlines():
        # Understood, and then stopped by the credentials that are not there.
        ran = run(["sh", "-c", example.replace("weightdock", f"'{WEIGHTDOCK}'", 1)], empty, cwd=tmp_path)
        assert (ran.code, ran.stderr.splitlines()[-3]) == (2, "error: R2 credentials not configured"), example


def test_the_example_of_lock_leaves_the_file_that_is_there_where_it_fails(tmp_path: Path) -> None:
    (tmp_path / "models.lock").write_text("as it was")
    example = weightdock("lock", "--help", given={}, cwd=tmp_path).stdout.rpartition("Examples:\n")[2].strip()
    failing = {"WEIGHTDOCK_CACHE": str(tmp_path / "cache"), "HF_ENDPOINT": "http://127.0.0.1:1"}
    ran = run(["sh", "-c", example.replace("weightdock", f"'{WEIGHTDOCK}'", 1)], failing, cwd=tmp_path)
    assert "> " in example
    assert ran.code > 0
    assert (tmp_path / "models.lock").read_text() == "as it was"


def test_the_version_is_printed(tmp_path: Path) -> None:
    ran = weightdock("--version", given={}, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "weightdock, version 0.1.0\n", "")


BROKEN = """
import sys
from weightdock import catalogue, cli

def select(*_):
    raise RuntimeError("nobody thought of this")

catalogue.select = select
cli.main(sys.argv[1:])
"""
UNEXPECTED = (
    "error: something that weightdock did not expect\n"
    "cause: RuntimeError: nobody thought of this\n"
    "next: run again with `weightdock --log-level debug …`, and report what it shows\n"
)


def test_what_nobody_expected_is_told_without_a_traceback(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", BROKEN, "fetch"], CREDENTIALS, cwd=tmp_path)
    assert (ran.code, ran.stdout, ran.stderr) == (1, "", UNEXPECTED)


ARROW = """
import click
from weightdock import cli
from weightdock.cli import node
node.fetch.callback = lambda **_: click.echo("R2 \N{LEFTWARDS ARROW} there")
cli.main(["fetch"])
"""


def test_a_terminal_without_our_arrows_is_told_all_the_same(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", ARROW], {"PYTHONIOENCODING": "latin-1"}, cwd=tmp_path)
    assert (ran.code, ran.stdout) == (0, "R2 \\u2190 there\n"), ran.stderr


def test_debug_shows_the_traceback_and_no_secret(tmp_path: Path) -> None:
    ran = run([sys.executable, "-c", BROKEN, "--log-level", "debug", "fetch"], CREDENTIALS, cwd=tmp_path)
    before, traceback, after = ran.stderr.partition("Traceback (most recent call last):\n")
    assert (ran.code, ran.stdout, before) == (1, "", "the traceback:\n")
    assert traceback
    assert after.endswith(f"\nRuntimeError: nobody thought of this\n{UNEXPECTED}")
    assert not [secret for secret in list(CREDENTIALS.values())[1:] if secret in ran.stderr]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_that_what_was_finished_is_kept(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with silent() as listening:
        given = environment(CREDENTIALS | {"AWS_S3_ENDPOINT_URL": listening.url, "WEIGHTDOCK_CACHE": str(tmp_path)})
        with subprocess.Popen([WEIGHTDOCK, "fetch"], env=given, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as ran:
            listening.wait()  # it is in the middle of asking
            ran.send_signal(number)
            _, stderr = ran.communicate(timeout=30)
    assert (ran.returncode, stderr) == (code, "\nstopped; what was finished is kept\n")


def test_who_reads_events_no_more_ends_the_run_as_ctrl_c_does(tmp_path: Path) -> None:
    given = environment({"WEIGHTDOCK_CACHE": str(tmp_path), "WEIGHTDOCK_OFFLINE": "1"})
    end, into = os.pipe()
    os.close(end)
    ran = subprocess.run([WEIGHTDOCK, "fetch", "--events"], env=given, stdout=into, stderr=subprocess.PIPE, check=False)
    os.close(into)
    assert (ran.returncode, ran.stderr) == (130, b"\nstopped; what was finished is kept\n")


def test_where_stdout_takes_nothing_the_exit_code_is_one_of_ours(tmp_path: Path) -> None:
    command = f"'{WEIGHTDOCK}' fetch --model sam2_t --events > /dev/full"
    given = {"WEIGHTDOCK_CACHE": str(tmp_path), "WEIGHTDOCK_OFFLINE": "1", "PYTHONUNBUFFERED": ""}
    ran = run(["sh", "-c", command], given, cwd=tmp_path)
    assert ran.code == 1
    assert ran.stderr.splitlines()[-3:] == [
        "error: something that weightdock did not expect",
        "cause: OSError: [Errno 28] No space left on device",
        "next: run again with `weightdock --log-level debug …`, and report what it shows",
    ]
