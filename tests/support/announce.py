"""A line for whoever runs the tests: how much was tried, or measured. It is shown whatever pytest captures."""

from __future__ import annotations

import sys

import pytest


def announce(config: pytest.Config, line: str) -> None:
    """Show it between the dots."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # what capsys.disabled() does, for fixtures of any scope
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()
