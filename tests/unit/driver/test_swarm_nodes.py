"""The nodes of a Swarm: which are meant, how far each is, and how it ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.driver_fakes import model, result
from weightdock.errors import ConfigurationError, OriginError
from weightdock.events import Event, Stage, State
from weightdock.report import RunReport
from weightdock_driver import swarm_nodes
from weightdock_driver.swarm_nodes import Node, NodeProgress, NodeResult, Nodes


def given(hostname: str, state: str = "ready", availability: str = "active", **labels: str) -> dict[str, Any]:
    return {
        "ID": f"id-{hostname}",
        "Spec": {"Role": "worker", "Availability": availability, "Labels": labels},
        "Description": {
            "Hostname": hostname,
            "Platform": {"OS": "linux", "Architecture": "x86_64"},
            "Engine": {"Labels": {"disk": "nvme"}},
        },
        "Status": {"State": state},
    }


NODES = Nodes.of([given("gpu-2", gpu="true"), given("gpu-1", gpu="TRUE"), given("cpu-1")])


@pytest.mark.parametrize(
    ("constraints", "found"),
    [
        ((), ["cpu-1", "gpu-1", "gpu-2"]),
        (("node.labels.gpu==true",), ["gpu-1", "gpu-2"]),
        (("node.labels.gpu == true", "node.hostname!=gpu-1"), ["gpu-2"]),
        (("node.labels.gpu!=true",), ["cpu-1"]),
        (("node.id==id-cpu-1",), ["cpu-1"]),
        (("engine.labels.disk==nvme", "node.role==worker", "node.platform.os==linux"), ["cpu-1", "gpu-1", "gpu-2"]),
    ],
)
def test_constraints_mean_what_they_mean_to_swarm(constraints: tuple[str, ...], found: list[str]) -> None:
    assert [node.hostname for node in NODES.that_meet(constraints)] == found


@pytest.mark.parametrize("constraint", ["gpu", "gpu==true", "node.labels.gpu=true", "node.labels.gpu==", "==true"])
def test_what_is_no_constraint_is_refused(constraint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        NODES.that_meet([constraint])
    assert "--constraint node.labels.gpu==true" in refused.value.next


def test_when_no_node_is_meant_those_that_there_are_are_named() -> None:
    with pytest.raises(ConfigurationError) as refused:
        NODES.that_meet(["node.labels.gpu==false"])
    assert "cpu-1, gpu-1, gpu-2" in refused.value.cause


@pytest.mark.parametrize(
    ("constraints", "labelling"),
    [
        (["node.labels.disk==a b", "node.labels.gpu==true"], "docker node update --label-add 'disk=a b' NODE; "),
        (["node.role==manager"], ""),
        (["node.hostname!=cpu-1", "node.labels.gpu!=true"], ""),
    ],
)
def test_a_label_that_no_node_has_can_be_given_and_another_constraint_has_another_cure(
    constraints: list[str], labelling: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        NODES.that_meet(constraints)
    assert refused.value.next == f"{labelling}`docker node inspect NODE` shows what a --constraint may ask for"


@pytest.mark.parametrize(
    ("node", "cause"), [(given("a", "down"), "does not answer"), (given("a", "ready", "drain"), "is drained or paused")]
)
def test_a_node_that_takes_no_work_says_why(node: dict[str, Any], cause: str) -> None:
    left_out = swarm_nodes.unreachable(Node.of(node))
    assert left_out.exit_code == 6
    assert cause in str(left_out.error)


def test_a_node_is_one_row_that_counts_its_models_and_bytes() -> None:
    progress = NodeProgress("gpu-1", 2)
    started = progress.of(Event(model("timm/a"), Stage.FETCH, State.PROGRESS, 10, 100))
    assert (str(started.model), started.state, started.done_bytes, started.note) == (
        "node/gpu-1",
        State.PROGRESS,
        10,
        "0 of 2 models",
    )
    progress.of(Event(model("timm/a"), Stage.FETCH, State.DONE, 100, 100))
    ended = progress.of(Event(model("timm/b"), Stage.FETCH, State.SKIPPED, note="in the cache"))
    assert (ended.state, ended.done_bytes, ended.note) == (State.DONE, 100, "2 of 2 models")


def test_a_model_that_failed_is_not_counted_as_filled_until_it_is() -> None:
    progress = NodeProgress("gpu-1", 2)
    progress.of(Event(model("timm/a"), Stage.FETCH, State.DONE, 100, 100))
    failed = progress.of(Event(model("timm/b"), Stage.FETCH, State.FAILED))
    assert (failed.state, failed.note) == (State.FAILED, "1 of 2 models, 1 failed")
    again = progress.of(Event(model("timm/b"), Stage.FETCH, State.DONE, 100, 100))
    assert (again.state, again.note) == (State.DONE, "2 of 2 models")


GONE = OriginError("gone", cause="404", next="wait")
RESULTS = (
    NodeResult("gpu-1", RunReport((result("timm/a"), result("timm/b"))), 12.34),
    NodeResult("gpu-2", RunReport((result("timm/a"), result("timm/b", GONE))), 2.0),
    swarm_nodes.unreachable(Node.of(given("gpu-3", "down"))),
)


def test_the_table_has_a_row_per_node_and_each_error_once() -> None:
    assert swarm_nodes.table(RESULTS) == (
        "NODE   MODELS    SIZE  SECONDS  RESULT\n"
        "gpu-1  2 of 2  2.0 MB     12.3  2 uploaded\n"
        "gpu-2  1 of 2  1.0 MB      2.0  1 uploaded, 1 failed\n"
        "gpu-3  -       0.0 MB        -  left out\n"
        "\n"
        "gpu-2\nerror: gone\ncause: 404\nnext: wait\n"
        "\n"
        "gpu-3\nerror: node gpu-3 was left out\ncause: it does not answer (docker node ls)\n"
        "next: the same command, once it is back: nodes that are filled cost nothing\n"
        "\n"
        "3 nodes: 1 filled, 2 not"
    )


def test_json_has_each_nodes_report_and_the_worst_code() -> None:
    read = json.loads(swarm_nodes.to_json(RESULTS))
    assert (read["event"], read["exit_code"]) == ("fleet", 6)
    assert [(one["node"], len(one["report"]["results"]), bool(one["error"])) for one in read["nodes"]] == [
        ("gpu-1", 2, False),
        ("gpu-2", 2, False),
        ("gpu-3", 0, True),
    ]
