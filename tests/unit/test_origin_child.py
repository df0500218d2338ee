"""The origin's process: a real child with a toy framework in it, that behaves and misbehaves."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from support.origin_scene import Acquire, pickled
from support.samples import TOY, digest, spec
from weightdock.artifact import Provenance
from weightdock.catalogue import ModelSpec
from weightdock.errors import (
    ConfigurationError,
    ExitCode,
    IntegrityError,
    OriginError,
    StoreError,
    WeightdockError,
)
from weightdock.origins import AcquiredFile, Origin
from weightdock.origins.child import OriginProcess, answer
from weightdock.origins.wire import spec_fields
from weightdock.settings import Settings

pytestmark = pytest.mark.usefixtures("toy_origin")


def _pid(acquired: AcquiredFile) -> int:
    return int(acquired.provenance.revision)


def test_an_answer_arrives_as_the_origin_gave_it(acquire: Acquire, into: Path, tmp_path: Path) -> None:
    acquired = acquire(spec("alpha"))
    assert acquired == AcquiredFile(
        path=into / "alpha.bin",
        provenance=Provenance(
            url="https://toys.example/alpha.bin",
            revision=acquired.provenance.revision,
            digest="",
            licence="MIT",
            versions={
                "AWS": "",
                "missing": "AWS_S3_ENDPOINT_URL,AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY",
                "TOY_HOME": str(tmp_path / "cache" / ".origin" / "toy"),
            },
        ),
    )
    assert (into / "alpha.bin").read_bytes() == pickled("alpha ")


def test_what_is_known_of_a_file_arrives_too(acquire: Acquire) -> None:
    acquired = acquire(spec("alpha", asset="knows"))
    said = digest(pickled("alpha knows"))
    assert (acquired.published, acquired.published_bytes, acquired.streamed) == (
        said,
        len(pickled("alpha knows")),
        said,
    )


def test_the_framework_is_loaded_in_another_process_which_serves_every_model(acquire: Acquire) -> None:
    pids = {_pid(acquire(spec(name))) for name in ("alpha", "beta")}
    assert len(pids) == 1
    assert pids != {os.getpid()}


def test_no_child_is_started_for_nothing(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    with OriginProcess(TOY, configured) as origin:
        assert origin.endpoint == "https://toys.example"


def test_the_child_ends_with_the_context(configured: Settings, into: Path) -> None:
    with OriginProcess(TOY, configured) as origin:
        pid = _pid(origin.acquire(spec("alpha"), into, lambda _: None))
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_sees_no_variable_that_opens_a_bucket(acquire: Acquire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"):
        monkeypatch.setenv(name, "https://secret.example")
    assert acquire(spec("alpha")).provenance.versions["AWS"] == ""


def test_the_child_does_not_read_the_credentials_from_dotenv_either(
    acquire: Acquire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "AWS_S3_ENDPOINT_URL=https://store.example\nAWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n"
    )
    monkeypatch.chdir(tmp_path)
    missing = acquire(spec("alpha")).provenance.versions["missing"]
    assert missing == "AWS_S3_ENDPOINT_URL,AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY"


@pytest.mark.parametrize(
    ("asset", "kind"),
    [("unknown", ConfigurationError), ("refuses", OriginError), ("corrupt", IntegrityError), ("full", StoreError)],
)
def test_an_error_keeps_its_kind_and_its_three_parts(acquire: Acquire, asset: str, kind: type[WeightdockError]) -> None:
    with pytest.raises(WeightdockError) as refused:
        acquire(spec("alpha", asset=asset))
    assert type(refused.value) is kind
    assert str(refused.value) == f'error: the toy says no\ncause: "{asset}"\nnext: ask the toy'


def test_after_an_error_the_same_child_serves_the_next_model(acquire: Acquire) -> None:
    before = _pid(acquire(spec("alpha")))
    with pytest.raises(OriginError):
        acquire(spec("beta", asset="refuses"))
    assert _pid(acquire(spec("gamma"))) == before


def test_loading_answers_nothing_or_the_loaders_error(origin: OriginProcess, into: Path) -> None:
    path = into / "alpha.bin"
    path.write_bytes(pickled("alpha of an earlier run"))
    origin.load(spec("alpha"), path)
    with pytest.raises(IntegrityError) as refused:
        origin.load(spec("beta"), path)
    assert str(refused.value) == "error: toy/beta does not load\ncause: it names another\nnext: run again"


@pytest.mark.parametrize(("asset", "status"), [("exits", 7), ("is killed", -9)])
def test_a_child_that_ends_is_named_and_the_next_model_gets_a_new_one(
    acquire: Acquire, asset: str, status: int
) -> None:
    before = _pid(acquire(spec("alpha")))
    with pytest.raises(WeightdockError) as refused:
        acquire(spec("beta", asset=asset))
    assert refused.value.exit_code is ExitCode.SOME_FAILED
    assert str(refused.value) == (
        "error: the loader ended while it had toy/beta\n"
        f"cause: its process ended with status {status} (negative: killed by that signal; -9 is often memory)\n"
        "next: see what it printed, if it did; if it was memory, give the container more: WEIGHTDOCK_MEMORY"
    )
    assert _pid(acquire(spec("gamma"))) != before


def test_what_nobody_foresaw_of_a_library_is_told_in_its_own_words(
    acquire: Acquire, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _pid(acquire(spec("alpha")))
    with pytest.raises(WeightdockError) as refused:
        acquire(spec("beta", asset="raises"))
    assert refused.value.exit_code is ExitCode.SOME_FAILED
    assert str(refused.value) == (
        "error: the loader failed while it had toy/beta\n"
        "cause: RuntimeError: the toy has a bug\n"
        "next: see what it printed, if it did; if it was memory, give the container more: WEIGHTDOCK_MEMORY"
    )
    assert "in acquire\n" in capfd.readouterr().err
    assert _pid(acquire(spec("gamma"))) == before


@pytest.mark.parametrize(
    ("asset", "cause"),
    [
        ("stammers", "JSONDecodeError: Expecting value: line 1 column 10 (char 9)"),
        ("babbles", "TypeError: list indices must be integers or slices, not str"),
        ("roars", "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("strays", "ValueError: {0}/beta.bin is not in {0}/into"),
    ],
)
def test_an_answer_that_is_none_fails_its_model_and_the_next_gets_a_new_child(
    acquire: Acquire, into: Path, asset: str, cause: str
) -> None:
    before = _pid(acquire(spec("alpha")))
    with pytest.raises(WeightdockError) as refused:
        acquire(spec("beta", asset=asset))
    assert str(refused.value) == (
        "error: the loader gave no answer that can be read while it had toy/beta\n"
        f"cause: {cause.format(into.parent)}\n"
        "next: see what it printed above; the next model gets a new loader"
    )
    assert _pid(acquire(spec("gamma"))) != before


def test_a_disk_that_is_too_small_is_said_to_be(acquire: Acquire, into: Path) -> None:
    with pytest.raises(StoreError) as refused:
        acquire(spec("beta", asset="has no disk"))
    assert str(refused.value) == (
        f"error: the cache {into} did not take toy/beta\n"
        "cause: MemoryError: too little disk space\n"
        "next: nothing half-written was left; see to the disk (df -h), then run again"
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("PytorchStreamWriter failed writing"), "RuntimeError: PytorchStreamWriter failed writing"),
        (
            OriginError("the origin did not give it", cause="[Errno 28] No space left", next=""),
            "the origin did not give it: [Errno 28] No space left",
        ),
    ],
)
def test_a_fault_where_there_is_hardly_any_room_is_the_disks(
    error: Exception, cause: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def acquire(self, _spec: ModelSpec, _into: Path) -> AcquiredFile:
            raise error

    request = {"do": "acquire", "spec": spec_fields(spec("alpha")), "path": str(into)}
    elsewhere = answer(cast("Origin", Full()), request)["error"]
    assert elsewhere["exit_code"] is not ExitCode.STORE
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1, f_frsize=4096))
    told = answer(cast("Origin", Full()), request)["error"]
    assert (told["exit_code"], told["cause"]) == (ExitCode.STORE, cause)


def test_a_child_that_ended_between_two_models_is_named_too(acquire: Acquire) -> None:
    pid = _pid(acquire(spec("alpha")))
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(WeightdockError, match="the loader ended while it had toy/beta"):
        acquire(spec("beta"))
    assert _pid(acquire(spec("gamma"))) != pid


def test_a_child_that_ended_leaves_no_open_pipe(configured: Settings, into: Path) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        with OriginProcess(TOY, configured) as origin, pytest.raises(WeightdockError):
            origin.acquire(spec("alpha", asset="exits"), into, lambda _: None)
        del origin
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


def test_what_a_library_prints_is_a_message_and_no_answer(
    acquire: Acquire, into: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert acquire(spec("alpha", asset="chatty")).path == into / "alpha.bin"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == '{"path": "elsewhere"}\na C library prints too\n'


@pytest.mark.timeout(10)
def test_a_library_that_asks_a_question_gets_no_answer_and_does_not_wait_for_one(acquire: Acquire) -> None:
    with pytest.raises(WeightdockError):
        acquire(spec("alpha", asset="reads"))
    assert acquire(spec("beta")).path.name == "beta.bin"


def test_a_terminal_s_ctrl_c_is_left_to_the_parent(origin: OriginProcess, acquire: Acquire) -> None:
    pid = _pid(acquire(spec("alpha")))
    os.kill(pid, signal.SIGINT)  # which a terminal sends to both
    assert _pid(acquire(spec("beta"))) == pid
