"""The driver on a real engine, with a small program in place of ``weightdock`` inside the images."""

from __future__ import annotations

import json
import os
import pty
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.driver_fakes import SECRET, connection_error
from support.plays import build, store_file
from weightdock_driver.engine import Engine
from weightdock_driver.leftovers import HOST

pytestmark = pytest.mark.engine

FRAMEWORKS = {"timm": "timm/convnext_tiny", "ultralytics": "ultralytics/yolo11n"}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Bench:
    """Images and a volume of this test run's own, so that nothing of the user's is touched."""

    folder: Path
    id: str

    @property
    def volume(self) -> str:
        return f"weightdock-drivertest-{self.id}"

    def images(self, **plays: str) -> str:
        """Make the images of these frameworks play so; gives their tag."""
        tag = f"drivertest-{self.id}-{'-'.join(plays.values())}"
        for framework, play in plays.items():
            build(self.folder, f"weightdock/{framework}-uploader:{tag}", play, FRAMEWORKS[framework])
        return tag

    def command(self, tag: str, *more: str) -> list[str]:
        driver = [sys.executable, "-m", "weightdock_driver.cli", "--env-file", str(store_file(self.folder)), "upload"]
        # What the images of these tests report on: a model that a report lacks would be a failure.
        models = [] if "--model" in more else ["--model", "convnext_tiny", "--model", "yolo11n"]
        return [*driver, "--tag", tag, "--cache", self.volume, *models, *more]

    def run(self, tag: str, *more: str) -> Ran:
        pipe = subprocess.PIPE
        return Ran(subprocess.Popen(self.command(tag, *more), stdout=pipe, stderr=pipe, text=True))


@dataclass(frozen=True)
class Ran:
    process: subprocess.Popen[str]

    @property
    def containers(self) -> list[str]:
        """Those that this driver's process made and that are still there, running or not."""
        mine = f"label=weightdock.driver={HOST}:{self.process.pid}"
        return docker("ps", "--all", "--quiet", "--filter", mine).split()

    def until(self, said: str) -> None:
        """Read stderr up to a line that has ``said``."""
        assert self.process.stderr
        for line in self.process.stderr:
            if said in line:
                return
        pytest.fail(f"the driver ended with {self.process.wait()} without saying {said!r}")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("driver"), secrets.token_hex(4))
    yield made
    left = docker("ps", "--all", "--quiet", "--filter", f"volume={made.volume}").split()  # by a test that failed
    if left:
        docker("rm", "--force", *left)
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    mine = [name for name in names if f":drivertest-{made.id}-" in name]
    docker("rmi", "--force", *mine)
    docker("volume", "rm", "--force", made.volume)


def test_two_containers_make_one_table_and_leave_nothing_behind(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="succeed", ultralytics="succeed"))
    code, out, err = ran.end()
    assert code == 0, err
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [
        ["timm/convnext_tiny", "uploaded"],
        ["ultralytics/yolo11n", "uploaded"],
    ]
    assert "timm/convnext_tiny  upload started" in err
    assert SECRET not in out + err
    assert ran.containers == []


def test_a_failed_model_of_one_container_is_the_exit_code_and_the_others_are_done(bench: Bench) -> None:
    code, out, _ = bench.run(bench.images(timm="fail", ultralytics="succeed"), "--json").end()
    assert code == 3
    assert [row["outcome"] for row in json.loads(out)["results"]] == ["failed", "uploaded"]


def test_a_crash_without_report_is_told_with_image_status_and_last_lines(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="crash", ultralytics="succeed"), "--model", "convnext_tiny", "--model", "yolo11n")
    code, out, err = ran.end()
    assert code == 6
    assert "ended without a report, with exit status 1" in out
    assert "weightdock/timm-uploader:drivertest-" in out
    assert "  Illegal instruction, or so\n" in err
    assert out.endswith("2 models: 1 uploaded, 1 failed · 1.0 MB\n")
    assert ran.containers == []


def test_a_store_that_refuses_before_there_is_a_report_is_the_stores_error(bench: Bench) -> None:
    code, out, _ = bench.run(bench.images(timm="refuse"), "--model", "convnext_tiny").end()
    assert code == 5
    assert "error: the store refused the key\ncause: SignatureDoesNotMatch\nnext: check the secret" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_and_removes_both_containers(bench: Bench, number: signal.Signals, code: int) -> None:
    ran = bench.run(bench.images(timm="wait", ultralytics="wait"))
    ran.until("upload started")
    assert len(ran.containers) == 2
    began = time.monotonic()
    ran.process.send_signal(number)
    ended, out, err = ran.end()
    assert ran.containers == []
    assert time.monotonic() - began < 4, "they were not asked to end, only killed after the grace of 5 s"
    assert (ended, out) == (code, "")
    assert f"stopped by {number.name}; removed weightdock-timm-" in err


def test_a_terminal_that_goes_away_stops_the_containers_as_sighup_does(bench: Bench) -> None:
    """The kernel sends SIGHUP, and whatever is written there from then on fails."""
    tag = bench.images(timm="wait")
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", *bench.command(tag, "--model", "convnext_tiny")]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while b"convnext_tiny" not in seen or b"upload" not in seen:
            seen += os.read(ours, 4096)
        began = time.monotonic()
        os.close(ours)
        assert process.wait(60) == 129
    assert time.monotonic() - began < 4, "it was not asked to end, only killed after the grace of 5 s"
    assert docker("ps", "--all", "--quiet", "--filter", f"ancestor=weightdock/timm-uploader:{tag}") == ""


def test_a_stderr_that_takes_nothing_ends_no_run(bench: Bench) -> None:
    command = bench.command(bench.images(timm="succeed"), "--model", "convnext_tiny")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "1 model: 1 uploaded · 1.0 MB")


def test_a_second_ctrl_c_does_not_wait_and_leaves_no_container(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="stubborn"), "--model", "convnext_tiny")
    ran.until("upload started")
    ran.process.send_signal(signal.SIGINT)
    ran.until("SIGINT: stopping weightdock-timm-")
    began = time.monotonic()
    ran.process.send_signal(signal.SIGINT)
    ended, _, _ = ran.end()
    assert ran.containers == []
    assert ended == 130
    assert time.monotonic() - began < 4  # the grace is 5


def test_the_next_run_removes_what_a_killed_driver_left_and_not_what_a_living_one_runs(bench: Bench) -> None:
    waiting = bench.images(timm="wait")
    killed, living = (bench.run(waiting, "--model", "convnext_tiny") for _ in range(2))
    for ran in (killed, living):
        ran.until("upload started")
    killed.process.kill()
    killed.end()
    assert len(killed.containers) == 1
    try:
        code, _, err = bench.run(bench.images(timm="succeed"), "--model", "convnext_tiny").end()
        assert code == 0
        assert err.count(": its driver was killed\n") == 1
        assert killed.containers == []
        assert len(living.containers) == 1
    finally:
        living.process.send_signal(signal.SIGTERM)
        living.end()


def test_what_is_to_be_kept_is_kept_even_from_the_next_run(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="succeed"), "--model", "convnext_tiny", "--keep")
    _, _, err = ran.end()
    (kept,) = ran.containers
    try:
        assert "\nkept weightdock-timm-" in err
        assert bench.run(bench.images(timm="succeed"), "--model", "convnext_tiny").end()[0] == 0
        assert ran.containers == [kept]
    finally:
        docker("rm", "--force", kept)


def test_what_is_to_be_kept_and_does_not_end_is_ended_and_kept(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="stubborn"), "--model", "convnext_tiny", "--keep", "--timeout", "2s")
    ran.end()
    (kept,) = ran.containers
    try:
        assert docker("inspect", "--format", "{{.State.Running}}", kept).strip() == "false"
    finally:
        docker("rm", "--force", kept)


def test_time_that_is_up_removes_the_container_and_is_its_models_error(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="wait"), "--model", "convnext_tiny", "--timeout", "2s")
    code, out, _ = ran.end()
    assert (code, ran.containers) == (1, [])
    assert "error: ended after 2 s, before there was a report\n" in out


def test_a_running_container_is_held_in_and_its_key_is_in_no_label_and_no_argument(bench: Bench) -> None:
    ran = bench.run(bench.images(timm="wait"), "--model", "convnext_tiny")
    ran.until("upload started")
    try:
        (told,) = json.loads(docker("inspect", *ran.containers))
    finally:
        ran.process.send_signal(signal.SIGTERM)
        ran.end()
    assert told["Name"].startswith("/weightdock-timm-")
    assert told["Config"]["Labels"]["weightdock.role"] == "uploader"
    assert told["Args"][-6:-3] == ["/play.py", "--events", "--catalogue"]
    assert told["Args"][-2:] == ["--model", "timm/convnext_tiny"]
    assert SECRET not in json.dumps([told["Config"]["Labels"], told["Args"], told["Path"], told["Name"]])
    held = told["HostConfig"]
    assert (held["Init"], held["CapDrop"], held["SecurityOpt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    (mount,) = told["Mounts"]
    assert (mount["Type"], mount["Name"], mount["Destination"]) == ("volume", bench.volume, "/workspace/data/.cache")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--network", "no-such-network-of-ours"], 6, "error: no such network\n"),
        (["--cache", "/no/such/folder"], 2, "error: the cache's folder is not there\n"),
        (["--tag", "no-such-tag"], 6, "next: `docker image ls weightdock/"),
    ],
)
def test_what_the_engine_does_not_have_is_told_and_nothing_is_left(
    bench: Bench, arguments: list[str], code: int, said: str
) -> None:
    ran = bench.run(bench.images(timm="succeed", ultralytics="succeed"), *arguments)
    ended, out, err = ran.end()
    assert (ended, out) == (code, "")
    assert said in err
    assert ran.containers == []


def test_sizes_are_those_of_docker_image_inspect() -> None:
    with Engine() as engine:
        size = engine.image_bytes("weightdock/base:bookworm")
    assert size == int(docker("image", "inspect", "--format", "{{.Size}}", "weightdock/base:bookworm"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a refused socket that the SDK leaves
def test_without_a_right_to_the_socket_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, me, nobody = tmp_path / "engine.sock", os.geteuid(), 65534
    monkeypatch.setenv("DOCKER_HOST", f"unix://{closed}")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(closed))
        engine.listen()
        closed.chmod(0)
        if me == 0:  # whom no mode stops
            os.seteuid(nobody)
        try:
            error = connection_error()
        finally:
            os.seteuid(me)
    assert error.what == "no right to the container engine"
    assert "usermod -aG docker" in error.next
