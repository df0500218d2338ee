"""A service's log, told apart by task."""

from __future__ import annotations

from support.driver_fakes import model, reported, result
from weightdock.events import Event, Stage, State
from weightdock.report import RunReport
from weightdock_driver.swarm_logs import ServiceLog

EVENT = Event(model("timm/a"), Stage.UPLOAD, State.STARTED)


def frame(task: str, text: str) -> bytes:
    details = f"com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id={task}"
    return f"{details} {text}".encode()


def test_lines_of_several_tasks_do_not_get_mixed_even_when_they_come_in_pieces() -> None:
    log = ServiceLog()
    line, other = reported(result("timm/a")), reported(result("timm/b"))
    assert log.feed(frame("t1", line[:50])) == []
    assert log.feed(frame("t2", other[:70])) == []
    assert log.feed(frame("t1", line[50:])) == []
    assert log.reported == {"t1"}
    log.feed(frame("t2", other[70:]))
    assert log.outputs["t1"].report == RunReport((result("timm/a"),))
    assert log.outputs["t2"].report == RunReport((result("timm/b"),))


def test_events_come_out_and_other_lines_are_kept_for_their_task() -> None:
    log = ServiceLog()
    assert log.feed(frame("t1", EVENT.to_json() + "\n")) == [EVENT]
    assert log.feed(frame("t1", "Traceback: boom\n")) == []
    assert log.outputs["t1"].tail == ("Traceback: boom",)


def test_a_remark_of_the_engines_own_belongs_to_no_task() -> None:
    log = ServiceLog()
    assert log.feed(b"error: incomplete log stream. some logs could not be retrieved: node n2 is not available\n") == []
    assert log.outputs == {}
