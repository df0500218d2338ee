"""What is told where the containers may not write to the cache's folder, by the kind of engine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from support.driver_fakes import TIMM, FakeEngine, Play, job, model, reported, result
from weightdock.cache import Cache
from weightdock.errors import ConfigurationError, DiskError, StoreError, WeightdockError
from weightdock.report import RunReport
from weightdock_driver import cache_rights, cli, swarm_run
from weightdock_driver.cache_rights import Users
from weightdock_driver.run_spec import Mount, Run, RunSpec
from weightdock_driver.verdict import Ended

OWN = ConfigurationError(
    "the cache /workspace/data/.cache/models cannot be written", cause="[Errno 13] no", next="a setting"
)


def spec(source: str = "/srv/models") -> RunSpec:
    return replace(job("timm").spec, mounts=(Mount(source, "/workspace/data/.cache/models"),))


def failed(error: WeightdockError) -> RunReport:
    return RunReport((result("timm/a", error), result("timm/b")))


def explained(users: Users) -> WeightdockError:
    error = cache_rights.explained(failed(OWN), spec(), users).results[0].error
    assert error
    return error


@pytest.mark.parametrize(
    ("options", "folder", "users"),
    [
        (["name=seccomp,profile=builtin"], "/var/lib/docker", Users()),
        (
            ["name=seccomp,profile=builtin", "name=userns"],
            "/var/lib/docker/300000.400000",
            Users(first=(300000, 400000)),
        ),
        (["name=userns"], "/var/lib/docker", Users()),
        (["name=cgroupns"], "/srv/1.2", Users()),
        (["name=seccomp,profile=builtin", "name=rootless"], "/home/me/.local/share/docker", Users(rootless=True)),
    ],
)
def test_an_engines_users_are_read_from_what_it_says_of_itself(options: list[str], folder: str, users: Users) -> None:
    assert Users.of(options, folder) == users


def test_of_a_swarm_each_node_is_told_the_same() -> None:
    session = swarm_run.Session(Run("01234567", "host:1"), quiet=True, timeout=None)
    session._engine = FakeEngine({})  # type: ignore[assignment]  # it is asked for no more
    (report,) = session._reports([replace(job("timm"), spec=spec())], [Ended(report=failed(OWN))])
    error = report.results[0].error
    assert error
    assert error.what == "the cache /srv/models cannot be written by the containers"
    assert error.next.startswith("on each of these nodes: sudo chown 10001:10001 /srv/models")


def test_paths_of_the_inside_are_told_as_they_are_called_outside() -> None:
    full = DiskError(
        "the disk of /workspace/data/.cache/models has no room",
        cause="1 MB are free",
        next="make room, or name another disk: WEIGHTDOCK_CACHE=<a folder there>",
    )
    bundle = ConfigurationError("the CA bundle /etc/weightdock/ca.pem cannot be used", cause="no right", next="mend it")
    mounts = (*spec().mounts, Mount("/home/me/ca.pem", "/etc/weightdock/ca.pem", of_this_machine=True))
    report = RunReport((result("timm/a", full), result("timm/b", bundle)))
    first, second = (
        one.error for one in cache_rights.explained(report, replace(spec(), mounts=mounts), Users()).results
    )
    assert first
    assert second
    assert (first.exit_code, first.what) == (full.exit_code, "the disk of /srv/models has no room")
    assert first.next == "make room, or name another disk: --cache <a folder there>"
    assert second.what == "the CA bundle /home/me/ca.pem cannot be used"


def test_a_path_is_written_as_a_shell_takes_it() -> None:
    for users, step in (
        (Users(), "sudo chown 10001:10001 '/srv/my models'; "),
        (Users(rootless=True), "--volume '/srv/my models':/cache "),
    ):
        error = cache_rights.explained(failed(OWN), spec("/srv/my models"), users).results[0].error
        assert error
        assert step in error.next


@pytest.mark.parametrize(
    ("users", "who", "step"),
    [
        (Users(), "user 10001:10001", "sudo chown 10001:10001 /srv/models"),
        (
            Users(first=(300000, 400000)),
            "user 310001:410001 there, as this engine maps 10001:10001 (userns-remap)",
            "sudo chown 310001:410001 /srv/models",
        ),
        (
            Users(rootless=True),
            "user 10001:10001 of an engine without root, which is one of its user's subordinate ids",
            "docker run --rm --user 0 --entrypoint chown --volume /srv/models:/cache weightdock/timm-uploader:latest "
            "10001:10001 /cache",
        ),
    ],
)
def test_the_message_names_the_folder_and_gives_it_to_the_user_that_the_containers_are_there(
    users: Users, who: str, step: str
) -> None:
    assert str(explained(users)) == (
        "error: the cache /srv/models cannot be written by the containers\n"
        f"cause: [Errno 13] no; they run as {who}\n"
        f"next: on the engine's host: {step}; or --cache NAME: a volume of that name, which can always be written"
    )


def test_it_is_told_of_folders_and_of_this_error_only() -> None:
    other = StoreError("the cache /workspace did not take the file", cause="full", next="df -h")
    read_only = ConfigurationError(OWN.what, cause="[Errno 30] Read-only file system", next="a setting")
    for report, its in ((failed(OWN), spec("a-volume")), (failed(other), spec())):
        assert [str(one.error) for one in cache_rights.explained(report, its, Users()).results] == [
            str(one.error) for one in report.results
        ]
    renamed = cache_rights.explained(failed(read_only), spec(), Users()).results[0].error
    assert renamed
    assert renamed.what == "the cache /srv/models cannot be written"
    mixed = RunReport((result("timm/a", OWN), result("timm/b", other), result("timm/c")))
    told = cache_rights.explained(mixed, spec(), Users()).results
    assert [one.error and one.error.what for one in told[1:]] == [other.what, None]


def test_these_are_the_words_in_which_a_cache_refuses(tmp_path: Path) -> None:
    me, nobody = os.geteuid(), 65534
    tmp_path.chmod(0)
    try:
        if me == 0:  # whom no mode stops
            os.seteuid(nobody)
        with pytest.raises(ConfigurationError) as caught, Cache(tmp_path / "cache").partial(model("timm/a")):
            pass
    finally:
        os.seteuid(me)
        tmp_path.chmod(0o700)
    report = failed(caught.value)
    assert cache_rights.explained(report, spec(), Users()) != report


@pytest.mark.usefixtures("environment")
def test_the_driver_tells_it_in_the_place_of_the_containers_words(
    fake: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.plays[TIMM] = Play(reported(result("timm/convnext_tiny", OWN)))
    fake.users = Users(first=(300000, 300000))
    assert cli.main(["upload", "--framework", "timm", "--cache", "/srv/models"]) == 2
    out = capsys.readouterr().out
    assert "error: the cache /srv/models cannot be written by the containers\n" in out
    assert "sudo chown 310001:310001 /srv/models" in out
    assert "a setting" not in out
