"""The driver's commands: what they run, show and exit with."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import click
import pytest

from support.driver_fakes import SETTINGS, TIMM, ULTRALYTICS, FakeEngine, Play, reported, result
from weightdock.errors import ConfigurationError, IntegrityError, OriginError
from weightdock_driver import cli, host, jobs

pytestmark = pytest.mark.usefixtures("environment")

Output = pytest.CaptureFixture[str]


def test_an_upload_prints_one_table_on_stdout_and_what_it_does_on_stderr(fake: FakeEngine, capsys: Output) -> None:
    assert cli.main(["upload"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if "/" in line] == [
        "timm/convnext_tiny",
        "ultralytics/yolo11n",
    ]
    assert out.endswith("2 models: 2 uploaded · 2.0 MB\n")
    assert err.startswith("upload: 8 models\n  images    weightdock/timm-uploader:latest, ")
    assert fake.record[-1] == "close"


def test_json_is_one_line_of_both_reports(fake: FakeEngine, capsys: Output) -> None:
    assert cli.main(["upload", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert [row["model"] for row in json.loads(line)["results"]] == ["timm/convnext_tiny", "ultralytics/yolo11n"]


@pytest.mark.parametrize("command", ["upload", "bootstrap"])
def test_a_report_is_kept_for_the_status_page_beside_the_table(fake: FakeEngine, capsys: Output, command: str) -> None:
    assert cli.main([command, "--json"]) == cli.main([command, "--save", "new/last.json"])
    (line, *table) = capsys.readouterr().out.splitlines()
    assert Path("new/last.json").read_text(encoding="utf-8") == f"{line}\n"
    assert table[0].startswith("MODEL ")


def test_a_report_that_cannot_be_kept_was_shown_all_the_same(fake: FakeEngine, capsys: Output) -> None:
    Path("taken").touch()
    assert cli.main(["upload", "--save", "taken/last.json"]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("2 models: 2 uploaded · 2.0 MB\n")
    assert "error: taken/last.json cannot be written\n" in err


def test_a_report_that_cannot_be_shown_was_kept_all_the_same(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_text: str, err: bool = False) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(click, "echo", full)
    assert cli.main(["upload", "--save", "last.json"]) == 1
    assert len(json.loads(Path("last.json").read_text(encoding="utf-8"))["results"]) == 2


@pytest.mark.parametrize(("has_limits", "count"), [(True, 0), (False, 1)])
def test_an_engine_that_drops_limits_is_told_of(fake: FakeEngine, capsys: Output, has_limits: bool, count: int) -> None:
    fake.has_limits = has_limits
    assert cli.main(["upload"]) == 0
    assert capsys.readouterr().err.count("warning: this engine drops the containers' limits") == count


def test_options_reach_the_containers(fake: FakeEngine) -> None:
    wanted = ["--framework", "timm", "--framework", "timm", "--model", "convnext_*"]
    assert cli.main(["upload", *wanted, "--dry-run", "--network", "n", "--tag", "v2", "--cache", "other"]) == 0
    (spec,) = fake.specs
    assert (spec.image, spec.network, spec.mounts[0].source) == ("weightdock/timm-uploader:v2", "n", "other")
    assert spec.args[3:] == ("--dry-run", "--model", "timm/convnext_tiny")


def test_a_check_is_a_dry_run(fake: FakeEngine) -> None:
    assert cli.main(["upload", "--model", "timm/convnext_tiny", "--check"]) == 0
    (spec,) = fake.specs
    assert spec.args[3:] == ("--dry-run", "--model", "timm/convnext_tiny")


def test_a_dry_run_is_shown_by_key(fake: FakeEngine, capsys: Output) -> None:
    assert cli.main(["upload", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "models/pretrained/timm/convnext_tiny.pth" in out
    assert err.startswith("plan (nothing will be changed): 8 models\n")


def test_an_uploader_keeps_files_in_a_volume_and_a_node_in_the_cache_folder_of_this_machine(
    fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    cache = tmp_path / "made" / "cache"
    cache.mkdir(parents=True)
    cache.chmod(0o1777)  # where all may write, nothing is to be given
    monkeypatch.setenv("WEIGHTDOCK_CACHE", str(cache))
    assert cli.main(["upload", "--framework", "timm"]) == 0
    assert cli.main(["bootstrap"]) == 0
    assert [spec.mounts[0].source for spec in fake.specs] == [jobs.CACHE_VOLUME, str(cache)]
    assert (cache.stat().st_gid, stat.S_IMODE(cache.stat().st_mode)) == (0, 0o1777)
    assert "\n  gpus      " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("smi", "said"),
    [
        ("", "not checked: no nvidia-smi here"),
        ("echo 'NVIDIA H100'; echo 'NVIDIA H100'", "2 × NVIDIA H100"),
        ("echo 'no driver' >&2; exit 9", "warning: nvidia-smi fails: ['no driver']"),
    ],
)
def test_gpus_are_counted_and_their_absence_or_failure_is_only_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smi: str, said: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if smi:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert host.gpus() == said


def test_a_new_folder_is_the_containers_whatever_group_its_parent_hands_on(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, 7777)
    tmp_path.chmod(0o2775)
    host.have_folder(tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_gid == 10001


@pytest.mark.parametrize(
    ("owner", "group", "mode", "after"),
    [
        (0, 0, 0o755, 10001),
        (10001, 7777, 0o755, 7777),
        (0, 10001, 0o755, 10001),
        (0, 7777, 0o777, 7777),
        (0, 7777, 0o755, None),
    ],
)
def test_root_takes_no_folder_from_another_group(
    tmp_path: Path, owner: int, group: int, mode: int, after: int | None
) -> None:
    folder = tmp_path / "my cache"
    folder.mkdir()
    os.chown(folder, owner, group)
    folder.chmod(mode)
    if after is None:
        with pytest.raises(ConfigurationError, match="cannot be written by the containers") as refused:
            host.have_folder(folder)
        assert refused.value.next.startswith(f"chown 10001 '{folder}'")
    else:
        host.have_folder(folder)
    assert folder.stat().st_gid == (after or group)


@pytest.mark.parametrize(
    ("timm", "ultralytics", "code"),
    [
        (Play(reported(result("timm/a", OriginError("gone", cause="404", next="wait"))), status=3), Play(), 6),
        (Play(reported(result("timm/a", OriginError("gone", cause="404", next="wait"))), status=3), None, 3),
        (
            Play(reported(result("timm/a", OriginError("gone", cause="404", next="wait"))), status=3),
            Play(reported(result("ultralytics/a", IntegrityError("bad", cause="hash", next="look"))), status=4),
            4,
        ),
        (Play(stderr="error: no such bucket\ncause: 404\nnext: make it\n", status=5), None, 5),
        (Play(stderr="Killed", status=137), None, 6),
    ],
)
def test_the_worst_container_gives_the_exit_code(
    fake: FakeEngine, timm: Play, ultralytics: Play | None, code: int
) -> None:
    fake.plays[TIMM] = timm
    fake.plays[ULTRALYTICS] = ultralytics or fake.plays[ULTRALYTICS]
    assert cli.main(["upload"]) == code


def test_the_last_lines_of_a_crashed_container_are_on_stderr_and_its_models_failed(
    fake: FakeEngine, capsys: Output
) -> None:
    fake.plays[TIMM] = Play("half a\n", "Traceback: boom", status=139)
    assert cli.main(["upload", "--model", "convnext_tiny", "--model", "yolo11n"]) == 6
    out, err = capsys.readouterr()
    assert "last lines of weightdock/timm-uploader:latest (weightdock-timm-" in err
    assert "  half a\n  Traceback: boom\n" in err
    assert "Traceback" not in out
    assert "weightdock/timm-uploader:latest ended without a report, with exit status 139" in out
    assert out.endswith("2 models: 1 uploaded, 1 failed · 1.0 MB\n")


def test_named_files_replace_environment_and_dotenv_entirely(fake: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WEIGHTDOCK_BUCKET=from-dotenv\n")
    store, origin = tmp_path / "store.env", tmp_path / "origin.env"
    store.write_text("AWS_S3_ENDPOINT_URL=http://local-r2:9000\nAWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    origin.write_text("HF_ENDPOINT=http://local-origin:9001\n")
    assert cli.main(["--env-file", str(store), "--env-file", str(origin), "upload", "--framework", "timm"]) == 0
    given = {variable.name: variable.value for variable in fake.specs[0].environment}
    assert given["AWS_SECRET_ACCESS_KEY"] == "b"
    assert given["HF_ENDPOINT"] == "http://local-origin:9001"
    assert given["WEIGHTDOCK_BUCKET"] == "vision-platform-prod"


def test_every_container_that_could_not_be_removed_is_named(fake: FakeEngine, capsys: Output) -> None:
    fake.refuses_removal = True
    assert cli.main(["upload"]) == 6
    names = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" stays")]
    assert [name.split("-")[1] for name in names] == ["ultralytics", "timm"]


def test_images_lists_what_the_driver_runs(no_engine: None, capsys: Output) -> None:
    assert cli.main(["images", "--tag", "v2"]) == 0
    assert capsys.readouterr().out == (
        "weightdock/timm-uploader:v2\nweightdock/ultralytics-uploader:v2\nweightdock/node:v2\n"
    )


@pytest.mark.parametrize(("node", "code"), [(220_000_000, 0), (220_000_001, 1)])
def test_sizes_are_shown_beside_their_limits_and_too_large_an_image_fails(
    fake: FakeEngine, capsys: Output, node: int, code: int
) -> None:
    fake.sizes = {f"{TIMM}:latest": 1, f"{ULTRALYTICS}:latest": 1, "weightdock/node:latest": node}
    assert cli.main(["images", "--sizes"]) == code
    assert capsys.readouterr().out.startswith("IMAGE")


@pytest.mark.parametrize("arguments", [["--help"], ["upload", "-h"], ["bootstrap", "--help"], ["images", "--help"]])
def test_help_needs_no_engine_and_no_credentials(
    no_engine: None, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name)
    assert cli.main(arguments) == 0
    assert "Usage: weightdock-driver" in capsys.readouterr().out


def test_quiet_leaves_stderr_empty_and_the_result_as_it_is(fake: FakeEngine, capsys: Output) -> None:
    assert cli.main(["upload", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("2 models: 2 uploaded · 2.0 MB\n")
    assert err == ""


def test_what_a_killed_driver_left_is_removed_first_and_named(fake: FakeEngine, capsys: Output) -> None:
    fake.abandoned = ("weightdock-timm-89abcdef",)
    assert cli.main(["upload"]) == 0
    assert "removed weightdock-timm-89abcdef: its driver was killed\n" in capsys.readouterr().err
    assert fake.record[0] == "remove abandoned"


def test_keep_marks_the_containers_and_says_how_to_look_at_them(fake: FakeEngine, capsys: Output) -> None:
    assert cli.main(["upload", "--framework", "timm", "--keep"]) == 0
    (spec,) = fake.specs
    assert spec.run.labels["weightdock.keep"] == "true"
    assert f"kept {spec.name}: docker logs {spec.name}\n" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("0.3", "0.3"), ("0.3s", "0.3"), ("0.005m", "0.3")])
def test_a_timeout_fails_what_has_not_ended(fake: FakeEngine, capsys: Output, text: str, seconds: str) -> None:
    fake.plays[TIMM] = Play(waits=True)
    assert cli.main(["upload", "--timeout", text]) == 1
    out, _ = capsys.readouterr()
    assert f"error: ended after {seconds} s, before there was a report\ncause: --timeout ended the run; models" in out
