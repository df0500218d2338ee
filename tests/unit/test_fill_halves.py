"""What an earlier run, or one that is ended early, leaves of a file, and what becomes of it."""

from __future__ import annotations

import random
from dataclasses import replace
from threading import Event as Happened

import pytest

from support.filled_node import Node
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, entry, files, key_of
from weightdock.errors import ExitCode
from weightdock.events import State
from weightdock.node import fill
from weightdock.node.ranges import Ranges
from weightdock.node.way import LIMITS
from weightdock.report import Outcome
from weightdock.store import Target, manifest


def test_an_object_of_another_size_costs_no_byte_of_the_half_that_an_earlier_run_left(node: Node) -> None:
    half = node.root / ".partial" / f"{digest(content('beta'))}.1"
    half.parent.mkdir(parents=True)
    half.write_bytes(content("beta")[:7])
    node.store.keep(key_of("beta"), b"the weights")
    assert node.fill("beta").exit_code is ExitCode.INTEGRITY
    assert half.read_bytes() == content("beta")[:7]
    node.store.keep(key_of("beta"), content("beta"))
    assert [row.outcome for row in node.fill("beta").results] == [Outcome.FETCHED]
    assert node.weights() == {"beta.bin": content("beta")}
    assert files(node.root) == {"toy/beta.bin", ".receipts/toy/beta.bin.json"}


LARGE = random.Random("large").randbytes(20 * 1024 * 1024)


def test_a_run_that_is_ended_early_keeps_the_half_of_what_was_under_way(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = Happened(), Happened()
    through, stop = MemoryStore.give, Ranges.stop

    def give(store: MemoryStore, content: bytes, target: Target) -> None:
        if content != LARGE:
            assert begun.wait(timeout=60)
            raise KeyboardInterrupt  # as Ctrl-C does in the thread that waits for this one
        half = len(content) // 2
        through(store, content[:half], target)
        begun.set()
        assert stopped.wait(timeout=60), "the run waits for whole files"
        through(store, content[half:], target)

    def noted(ranges: Ranges) -> None:
        stop(ranges)
        stopped.set()

    node.store.keep(key_of("beta"), LARGE)
    known = {"alpha": entry("alpha"), "beta": entry("beta", LARGE)}
    manifest.publish(node.store, PREFIX, TOY, known)
    with monkeypatch.context() as patched:
        patched.setattr(MemoryStore, "give", give)
        patched.setattr(Ranges, "stop", noted)
        with pytest.raises(KeyboardInterrupt):
            node.fill("alpha", "beta")
    (half,) = node.cache.leftovers(digest(LARGE))
    assert half.stat().st_size == len(LARGE) // 2
    assert node.fill("beta").exit_code is ExitCode.DONE
    assert node.weights() == {"beta.bin": LARGE}


def test_a_run_that_is_ended_early_begins_nothing_more(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(ranges: Ranges, *_: object) -> None:
        ranges.stop()
        raise KeyboardInterrupt

    monkeypatch.setattr(Ranges, "read", read)
    monkeypatch.setattr(fill, "LIMITS", replace(LIMITS, files=1))
    with pytest.raises(KeyboardInterrupt):
        node.fill()
    assert [event.state for event in node.heard] == [State.STARTED]
    assert node.store.stopped.is_set()


def test_a_whole_half_that_was_damaged_is_thrown_away_though_it_ends_with_a_block(node: Node) -> None:
    node.store.keep(key_of("beta"), LARGE)
    manifest.publish(node.store, PREFIX, TOY, {"beta": entry("beta", LARGE)})
    half = node.root / ".partial" / f"{digest(LARGE)}.1"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"damaged" + LARGE[7:])
    assert node.fill("beta").exit_code is ExitCode.DONE
    assert node.weights() == {"beta.bin": LARGE}
