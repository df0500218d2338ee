"""What a service's shares add up to."""

from __future__ import annotations

import pytest

from support.driver_fakes import job, reported, result
from weightdock.errors import ConfigurationError, EngineError, OriginError
from weightdock.report import ModelResult, Outcome
from weightdock_driver.stream import Output
from weightdock_driver.swarm_report import merged
from weightdock_driver.swarm_spec import Service
from weightdock_driver.swarm_tasks import Task, Watch

JOB = job("timm", "a", "b", "c")
A, B, C = JOB.models
SERVICE = Service(JOB, ((A, C), (B,)))
NAMES = {"n1": "gpu-1", "n2": "gpu-2"}


def task(id: str, share: int, state: str, node: str = "n1", error: str = "", exit: int = 0) -> Task:
    status = {"State": state, "Err": error, "ContainerStatus": {"ExitCode": exit}}
    return Task.of({"ID": id, "Slot": share, "NodeID": node, "Status": status, "CreatedAt": id})


def outputs(**said: str) -> dict[str, Output]:
    made = {}
    for id, text in said.items():
        made[id] = Output(lambda _event: None)
        made[id].feed(text.encode(), None)
        made[id].finish()
    return made


def watch(*tasks: Task) -> Watch:
    made = Watch(2, now=0)
    made.see(tasks, NAMES, (), now=1)
    return made


def errors(rows: tuple[ModelResult, ...]) -> list[str]:
    return [one.error.what if one.error else "" for one in rows]


def test_rows_come_in_the_order_of_the_catalogue_whichever_task_had_them() -> None:
    said = outputs(t0=reported(result("timm/a"), result("timm/c")), t1=reported(result("timm/b")))
    report, shown = merged(SERVICE, watch(task("t0", 0, "complete"), task("t1", 1, "complete")), said, NAMES)
    assert [str(one.model) for one in report.results] == ["timm/a", "timm/b", "timm/c"]
    assert errors(report.results) == ["", "", ""]
    assert shown == ()


def test_the_models_of_a_share_without_report_failed_and_swarms_word_and_the_node_are_told() -> None:
    said = outputs(t0=reported(result("timm/a"), result("timm/c")), t1="Killed\n")
    dead = task("t1", 1, "failed", "n2", "task: non-zero exit (137)", 137)
    report, shown = merged(SERVICE, watch(task("t0", 0, "complete"), dead), said, NAMES)
    assert errors(report.results) == ["", "share 1 of 2 of weightdock/timm-uploader:latest was not finished", ""]
    error = report.results[1].error
    assert isinstance(error, EngineError)
    assert error.cause == "its task on gpu-2 ended: task: non-zero exit (137)"
    assert shown == ("task 1 on gpu-2:", "  Killed")


def test_a_command_that_ended_with_an_error_of_ours_speaks_for_itself() -> None:
    said = outputs(t1="error: the store refused the key\ncause: SignatureDoesNotMatch\nnext: check the secret\n")
    tasks = watch(task("t0", 0, "complete"), task("t1", 1, "failed", exit=5))
    report, _ = merged(SERVICE, tasks, said | outputs(t0=reported(result("timm/a"), result("timm/c"))), NAMES)
    assert report.exit_code == 5
    assert errors(report.results)[1] == "the store refused the key"


def test_a_share_that_began_again_counts_as_it_ended_and_its_own_work_is_not_called_found() -> None:
    gone = OriginError("gone", cause="404", next="wait")
    first = reported(result("timm/a"), result("timm/c", gone))
    found = result("timm/a")._replace(outcome=Outcome.PRESENT)
    said = outputs(t0=first, t2=reported(found, result("timm/c")), t1=reported(result("timm/b")))
    tasks = watch(task("t0", 0, "failed", exit=3), task("t2", 0, "complete"), task("t1", 1, "complete"))
    report, _ = merged(SERVICE, tasks, said, NAMES)
    assert [one.outcome for one in report.results] == [Outcome.UPLOADED] * 3


@pytest.mark.parametrize(
    ("tasks", "cause"),
    [
        ((), "Swarm made no task for it"),
        ((task("t1", 1, "pending", "", "no suitable node (3 nodes unavailable)"),), "no suitable node"),
        ((task("t1", 1, "rejected", "n2", "No such image: sha256:ab"),), "gpu-2 has no image weightdock/timm-uploader"),
        ((task("t1", 1, "running", "n2"),), "its task's node, gpu-2, has not answered for 60 s"),
        ((task("t1", 1, "complete", "n2"),), "its task on gpu-2 ended well, and its log cannot be read"),
    ],
)
def test_why_a_share_was_not_finished(tasks: tuple[Task, ...], cause: str) -> None:
    report, _ = merged(SERVICE, watch(*tasks), {}, NAMES)
    error = report.results[1].error
    assert isinstance(error, EngineError)
    assert error.cause.startswith(cause)


def test_what_the_engine_of_a_node_refuses_is_told_as_this_ones_would_be() -> None:
    said = 'invalid mount config for type "bind": bind source path does not exist: /srv/models'
    report, _ = merged(SERVICE, watch(task("t1", 1, "rejected", "n2", said)), {}, NAMES)
    error = report.results[1].error
    assert isinstance(error, ConfigurationError)
    assert (error.what, error.cause) == ("the cache's folder is not there", f"on gpu-2: {said}")
