"""A command's work on a Swarm, and what ends it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from support.driver_fakes import FakeEngine, job
from weightdock_driver import swarm_engine
from weightdock_driver.run_spec import Run
from weightdock_driver.signals import Stopped
from weightdock_driver.swarm_run import Session, shared_out


@pytest.mark.parametrize(
    "doing",
    [lambda session: session.here([job("timm")]), lambda session: session.on_swarm(shared_out([job("timm")], 1))],
    ids=["here", "on the Swarm"],
)
def test_a_signal_that_came_before_ends_the_next_run_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, doing: Callable[[Session], object]
) -> None:
    fake = FakeEngine({})
    monkeypatch.setattr(swarm_engine, "swarm", lambda *_: nullcontext(fake))
    session = Session(Run("01234567", "host:1"), quiet=True, timeout=None)
    session._engine = fake  # type: ignore[assignment]  # what a manager is asked for is not asked here
    session._signals.put(signal.SIGTERM)
    with pytest.raises(Stopped):
        doing(session)
    assert fake.record == []
