"""The benchmarks' harness: what it measures of a command, in which order contenders run, and what its table says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness import FailedError, Sample, StalledError, compared, interleaved, run
from results import Table


def _python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_command_is_measured_with_what_it_started(tmp_path: Path) -> None:
    burn = "import time; until = time.process_time() + 0.3\nwhile time.process_time() < until: pass"
    parent = f"import subprocess, sys; block = b'x' * 80_000_000; subprocess.run([sys.executable, '-c', {burn!r}])"
    sample = run(_python(parent), os.environ, tmp_path)
    assert sample.cpu_seconds >= 0.3
    assert sample.wall_seconds >= 0.3
    assert 80_000_000 < sample.peak_bytes < 200_000_000


def test_what_the_harness_itself_had_is_not_the_commands(tmp_path: Path) -> None:
    block = bytearray(os.urandom(1)) * 300_000_000
    assert run(_python("import time; time.sleep(0.2)"), os.environ, tmp_path).peak_bytes < 100_000_000
    assert block


def test_a_command_that_fails_has_no_figures(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="no such bucket"):
        run(_python("raise SystemExit('no such bucket')"), os.environ, tmp_path)


def test_a_command_that_stalls_is_ended_and_has_no_figures(tmp_path: Path) -> None:
    with pytest.raises(StalledError, match=r"had not ended after"):
        run(_python("import time; time.sleep(600)"), os.environ, tmp_path, seconds=0.5)


def test_contenders_run_in_turn_and_each_round_begins_with_another() -> None:
    ran: list[str] = []

    def contender(name: str) -> Sample:
        ran.append(name)
        return Sample(1.0, 1.0, 1)

    samples = interleaved(3, {name: lambda name=name: contender(name) for name in "abc"})  # type: ignore[misc]
    assert "".join(ran) == "abcbcacab"
    assert {name: len(own) for name, own in samples.items()} == {"a": 3, "b": 3, "c": 3}


def test_the_table_has_the_spread_of_each_figure_and_ratios_within_a_round() -> None:
    samples = {
        "ours": [Sample(1.0, 2.0, 70_000_000, 8), Sample(4.0, 2.0, 70_000_000, 8), Sample(1.5, 3.0, 71_000_000, 8)],
        "theirs": [Sample(2.0, 1.0, 90_000_000), Sample(8.0, 1.0, 90_000_000), Sample(3.0, 1.0, 90_000_000)],
    }
    assert compared(samples, {"ours": "sha256", "theirs": "nothing"}, to="theirs").rows == [
        ("ours", "sha256", "1.00 / 1.50 / 4.00", "0.50", "2.00 / 2.00 / 3.00", "2.00", "70 / 70 / 71", "8"),
        ("theirs", "nothing", "2.00 / 3.00 / 8.00", "1.00", "1.00", "1.00", "90", "–"),
    ]


def test_a_table_is_markdown() -> None:
    assert Table(("", "s"), [("a", "1")]).markdown() == "|  | s |\n| --- | ---: |\n| a | 1 |"
