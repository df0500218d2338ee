"""Memory between two threads, and whose time is counted."""

from __future__ import annotations

import pytest

from support.fake_time import Time
from support.samples import room_for
from weightdock.node.buffers import Buffer, Pipe, Timed


def test_what_nobody_takes_any_more_is_given_no_room() -> None:
    pipe, gone_on = Pipe(enough=lambda: False), []
    pipe.empty.put(room_for(1))
    pipe.end()

    def read() -> None:
        gone_on.append(pipe.filling.room())

    pipe.receive(read)
    assert gone_on == []
    assert pipe.full.get_nowait() is None


def test_the_time_that_room_takes_is_not_the_network_s(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr("time.monotonic", time.clock)

    class Slow(Buffer):
        def room(self) -> memoryview:
            time.sleep(60)
            return super().room()

    heard: list[tuple[int, float]] = []
    slow = Slow(memoryview(bytearray(9)))
    timed = Timed(slow, lambda count, seconds: heard.append((count, seconds)))
    assert len(timed.room()) == 9
    time.sleep(2)
    timed.came(5)
    assert (heard, slow.count) == ([(5, 2.0)], 5)
