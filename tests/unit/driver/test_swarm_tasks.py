"""When a share has ended, whatever Swarm does with its tasks."""

from __future__ import annotations

import pytest

from weightdock_driver.swarm_tasks import DEATHS, PATIENCE_SECONDS, Phase, Task, Watch

NODES = ("n1", "n2")


def task(state: str, id: str = "t1", share: int = 0, node: str = "n1", **more: object) -> Task:
    status = {"State": state, "Err": more.get("error", ""), "ContainerStatus": {"ExitCode": more.get("exit", 0)}}
    return Task.of({"ID": id, "Slot": share, "NodeID": node, "Status": status, "CreatedAt": id})


def seen(*tasks: Task, count: int = 1, ready: tuple[str, ...] = NODES, reported: tuple[str, ...] = ()) -> Watch:
    watch = Watch(count, now=0)
    watch.see(tasks, ready, reported, now=1)
    return watch


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("new", Phase.WAITING),
        ("pending", Phase.WAITING),
        ("preparing", Phase.ALIVE),
        ("running", Phase.ALIVE),
        ("complete", Phase.DONE),
        ("failed", Phase.DEAD),
        ("rejected", Phase.DEAD),
        ("shutdown", Phase.GONE),
        ("orphaned", Phase.GONE),
        ("a state of some later engine", Phase.GONE),
    ],
)
def test_swarms_states_mean_this(state: str, phase: Phase) -> None:
    assert task(state).phase is phase


def test_slot_0_and_tasks_without_a_container_or_a_node_can_be_read() -> None:
    read = Task.of({"ID": "t", "Status": {"State": "pending", "Err": "no suitable node"}, "CreatedAt": "c"})
    assert (read.share, read.node, read.status, read.error) == (0, "", 0, "no suitable node")
    assert Task.of({"ID": "t", "Slot": 2, "Status": {"State": "new"}, "CreatedAt": "c"}, share=1).share == 1


def test_what_a_node_rejected_has_no_report_to_wait_for() -> None:
    seen_both = seen(task("failed"), task("rejected", "t2"))
    assert [one.id for one in seen_both.ended(0)] == ["t1"]


def test_a_job_is_over_when_every_share_is() -> None:
    assert not seen(task("complete"), task("running", "t2", share=1), count=2).settled
    over = seen(task("complete"), task("complete", "t2", share=1), count=2)
    assert (over.settled, over.all_done) == (True, True)


def test_a_share_that_failed_with_a_report_is_over_and_one_that_died_without_is_not() -> None:
    assert not seen(task("failed")).settled
    failed = seen(task("failed"), task("new", "t2"), reported=("t1",))
    assert (failed.settled, failed.all_done) == (True, False)


def test_a_share_whose_task_dies_again_and_again_is_given_up() -> None:
    dead = [task("failed", f"t{number}") for number in range(DEATHS)]
    assert not seen(*dead[:-1]).settled
    assert seen(*dead).settled


def test_deaths_count_even_when_swarm_has_forgotten_them() -> None:
    watch = Watch(1, now=0)
    for number in range(DEATHS):
        assert not watch.settled
        watch.see([task("rejected", f"t{number}")], NODES, (), now=number)
    assert watch.settled


def test_a_task_on_a_node_that_does_not_answer_is_stranded_until_it_has_a_substitute() -> None:
    assert seen(task("running")).stranded == ()
    lost = seen(task("running"), task("running", "t2", share=1, node="n2"), count=2, ready=("n2",))
    assert lost.stranded == (0,)
    lost.see([task("running"), task("pending", "t3", node="")], ("n2",), (), now=2)
    assert not lost.stranded
    assert seen(task("complete"), ready=()).stranded == (), "it had ended before"


def test_patience_lasts_as_long_as_no_task_lives_on_a_node_that_answers() -> None:
    watch = Watch(1, now=0)
    watch.see([task("running")], NODES, (), now=30)
    watch.see([task("running")], (), (), now=30 + PATIENCE_SECONDS - 1)
    assert not watch.settled
    watch.see([task("running")], NODES, (), now=30 + PATIENCE_SECONDS)
    watch.see([task("running")], (), (), now=30 + 2 * PATIENCE_SECONDS - 1)
    assert not watch.settled, "it was back in between"
    watch.see([task("running")], (), (), now=30 + 2 * PATIENCE_SECONDS)
    assert watch.settled


@pytest.mark.parametrize(
    ("said", "on_one_node", "settled"),
    [
        ("bind source path does not exist: /srv/models", True, True),
        ("bind source path does not exist: /srv/models", False, False),  # another node may have it
        ("No such image: registry.example.com/node", True, False),  # which may be there the next time
    ],
)
def test_a_node_that_does_not_have_the_caches_folder_is_given_up_at_once(
    said: str, on_one_node: bool, settled: bool
) -> None:
    watch = Watch(1, 0, on_one_node)
    watch.see([task("rejected", error=said)], NODES, (), now=1)
    assert watch.settled is settled
