"""What the driver refuses before anything runs, and what it says of a defect of its own."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from support.driver_fakes import SECRET, TIMM, FakeEngine, Play
from weightdock_driver import cli, swarm_run
from weightdock_driver.jobs import Job
from weightdock_driver.swarm_nodes import NodeResult

pytestmark = pytest.mark.usefixtures("environment")

Output = pytest.CaptureFixture[str]

COMMANDS = (["upload"], ["bootstrap"], ["swarm", "upload"], ["swarm", "bootstrap"])


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("command", ["upload", "bootstrap"])
def test_without_credentials_nothing_is_started(command: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert cli.main([command]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: R2 credentials not configured\ncause: ")
    assert "AWS_SECRET_ACCESS_KEY" in err
    assert "AWS_ACCESS_KEY_ID" not in err


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upload", "--framework", "tim"], "timm"),
        (["upload", "--model", "convnxt_tiny"], "convnext_tiny"),
        (["bootstrap", "--cache", "./here"], "full path"),
        (["upload", "--bogus"], "weightdock-driver upload --help"),
        (["uplod"], "weightdock-driver --help"),
        ([], "weightdock-driver --help"),
        (["--env-file", "nowhere.env", "upload"], "nowhere.env"),
    ],
)
def test_what_cannot_be_understood_is_an_error_of_three_parts(arguments: list[str], said: str, capsys: Output) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == ["error", "cause", "next"]
    assert said in err


@pytest.mark.usefixtures("no_engine")
def test_half_the_credentials_in_a_named_file_are_not_completed_from_the_environment(
    tmp_path: Path, capsys: Output
) -> None:
    store = tmp_path / "store.env"
    store.write_text("AWS_S3_ENDPOINT_URL=http://local-r2:9000\nAWS_ACCESS_KEY_ID=a\n")
    assert cli.main(["--env-file", str(store), "upload"]) == 2
    assert "AWS_SECRET_ACCESS_KEY" in capsys.readouterr().err


def test_a_defect_of_ours_is_a_message_and_its_traceback_is_for_debug_alone(fake: FakeEngine, capsys: Output) -> None:
    fake.plays[TIMM] = Play(breaks=RuntimeError("a defect"))
    assert cli.main(["upload"]) == 1
    err = capsys.readouterr().err
    assert "cause: RuntimeError: a defect" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback_and_no_secret(
    fake: FakeEngine, capsys: Output, caplog: pytest.LogCaptureFixture
) -> None:
    fake.plays[TIMM] = Play(breaks=RuntimeError("a defect"))
    assert cli.main(["--log-level", "debug", "upload"]) == 1
    shown = caplog.text + capsys.readouterr().err
    assert "Traceback" in shown
    assert SECRET not in shown


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "arguments",
    [
        ["upload", "--timeout", "soon"],
        ["upload", "--timeout", "0"],
        ["upload", "--timeout", "٣s"],
        ["upload", "--timeout", "99999999999h"],
        ["upload", "--parallel", "0"],
        ["swarm", "bootstrap", "--jitter", "nan"],
        ["swarm", "bootstrap", "--jitter", "inf"],
        ["upload", "--tag", "a b"],
        ["images", "--tag", ""],
        ["upload", "--save", ""],
        *([*command, option, ""] for command in COMMANDS for option in ("--cache", "--network")),
    ],
)
def test_values_that_are_none_are_refused(arguments: list[str], capsys: Output) -> None:
    """An empty one is a shell's variable that is not set, and must not mean the default."""
    assert cli.main(arguments) == 2
    assert f"error: Invalid value for '{arguments[-2]}'" in capsys.readouterr().err


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HF_ENDPOINT"])
def test_an_address_that_is_none_is_named(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv(name, "http://[::1")
    assert cli.main(["upload"]) == 2
    assert f"error: {name} " in capsys.readouterr().err


def test_a_group_of_commands_alone_is_told_as_a_missing_command(capsys: Output) -> None:
    assert cli.main(["swarm"]) == 2
    assert capsys.readouterr().err == (
        "error: Missing command.\ncause: the command line was not understood\nnext: weightdock-driver swarm --help\n"
    )


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("command", COMMANDS)
def test_less_memory_than_an_engine_gives_is_refused(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("WEIGHTDOCK_MEMORY", "5m")
    assert cli.main(command) == 2
    assert "error: WEIGHTDOCK_MEMORY cannot be 5242880\n" in capsys.readouterr().err


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("named", [[], ["--model", "convnext_tiny", "--model", "yolo11n"], ["--model", "yolo11*"]])
def test_force_without_one_model_is_refused_in_the_drivers_words(named: list[str], capsys: Output) -> None:
    assert cli.main(["upload", "--force", *named]) == 2
    err = capsys.readouterr().err
    assert "error: --force replaces one model\n" in err
    assert "next: weightdock-driver upload --force --model " in err


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("command", [["swarm", "upload"], ["swarm", "bootstrap"]])
def test_a_swarm_is_not_touched_before_the_request_is_known_to_be_good(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert cli.main(command) == 2
    assert capsys.readouterr().err.startswith("error: R2 credentials not configured\n")


@pytest.mark.usefixtures("no_engine")
def test_what_is_no_constraint_is_told_before_a_swarm_is_touched(capsys: Output) -> None:
    assert cli.main(["swarm", "bootstrap", "--constraint", "node.labels.gpu==true", "--constraint", "gpu"]) == 2
    assert capsys.readouterr().err.startswith("error: 'gpu' is no constraint\n")


def test_each_node_of_a_swarm_is_told_when_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Recording(nullcontext["Recording"]):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(self)

        def on_nodes(self, job: Job, _constraints: object) -> list[NodeResult]:
            told.append(job.spec.args[:3])
            return [NodeResult("one")]

    monkeypatch.setattr(swarm_run, "Session", Recording)
    assert [cli.main(["swarm", "bootstrap", "--quiet", *more]) for more in ([], ["--jitter", "60"])] == [0, 0]
    assert told == [("--events", "--jitter", "3"), ("--events", "--jitter", "60")]
