"""The services that a run makes on a Swarm, with a manager of ours that answers late."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

import pytest

from support.driver_fakes import FakeDisplay, job
from support.workers import SECONDS
from weightdock_driver import run, swarm_engine
from weightdock_driver.signals import Stopped
from weightdock_driver.swarm_engine import RunningService, SwarmEngine
from weightdock_driver.swarm_spec import Service

JOB = job("timm")
SERVICE = Service(JOB, (JOB.models,))
NAME = SERVICE.name
LOOKS = 5


def node(id: str, state: str) -> dict[str, Any]:
    spec, described = {"Role": "worker", "Availability": "active"}, {"Hostname": id}
    return {"ID": id, "Spec": spec, "Description": described, "Status": {"State": state}}


def task(id: str, node: str, state: str) -> dict[str, Any]:
    return {"ID": id, "NodeID": node, "CreatedAt": id, "Status": {"State": state}}


class LateManager:
    """``there`` are the services. A node is lost, and so is the task on it; a substitute's shows at once or never."""

    def __init__(self, making: Callable[[], None] = lambda: None, shows_substitutes: bool = False) -> None:
        self.there: list[str] = []
        self._making = making
        self._shows_substitutes = shows_substitutes
        self.made, self.asked_to_remove = Event(), Event()
        self.enough: Callable[[], None] = lambda: None
        self._looks = 0

    @property
    def swarm(self) -> LateManager:
        return self

    def fixed_image(self, reference: str) -> str:
        return reference

    def make_service(self, arguments: Mapping[str, Any], _image: str) -> None:
        self._making()
        self.there.append(arguments["name"])
        self.made.set()

    def remove(self, _kind: str, name: str) -> None:
        self.asked_to_remove.set()
        if name in self.there:
            self.there.remove(name)

    def still_there(self, _tasks: object) -> bool:
        return False

    def nodes(self) -> list[dict[str, Any]]:
        return [node("lost", "down"), node("here", "ready")]

    def tasks(self, service: str) -> list[dict[str, Any]]:
        if service == NAME:
            self._looks += 1
            if self._looks == LOOKS:
                self.enough()
            return [task("t0", "lost", "running")]
        # A substitute is on the lost node, too: one that has a task is to be replaced like any other.
        return [task(service, "lost", "running")] if self._shows_substitutes else []

    def log(self, *_what: object, **_how: object) -> Iterator[bytes]:
        return iter(())


def test_a_second_ctrl_c_while_a_service_is_being_made_leaves_none() -> None:
    class Telling(FakeDisplay):
        def say(self, text: str) -> None:
            super().say(text)
            heard.set()

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert heard.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        manager.asked_to_remove.wait(0.5)  # which comes too early, or after this

    heard, manager = Event(), LateManager(interrupted)
    engine = SwarmEngine(manager, [SERVICE], {})  # type: ignore[arg-type]  # it is asked for no more
    with pytest.raises(Stopped):
        run.run(engine, [JOB], Telling())
    assert manager.made.wait(SECONDS)
    assert manager.there == []


@pytest.mark.parametrize("shows", [False, True])
def test_a_share_has_one_substitute_until_that_ones_task_is_seen_to_be_lost(
    monkeypatch: pytest.MonkeyPatch, shows: bool
) -> None:
    monkeypatch.setattr(swarm_engine, "_LOOK_SECONDS", 0.01)
    manager = LateManager(shows_substitutes=shows)
    service = RunningService(manager, SERVICE, {})  # type: ignore[arg-type]
    manager.enough = service.terminate
    assert list(service.output()) == []
    assert manager.there[:2] == [NAME, f"{NAME}-1"]
    assert (len(manager.there) > 2) is shows


def test_a_service_that_was_told_to_end_is_not_made() -> None:
    manager = LateManager()
    service = RunningService(manager, SERVICE, {})  # type: ignore[arg-type]
    listener = iter(service.output())
    manager.fixed_image = lambda reference: (service.remove(), reference)[1]  # type: ignore[method-assign,func-returns-value]
    assert list(listener) == []
    assert manager.there == []
