"""What every test may use."""

from __future__ import annotations

import signal

import hypothesis

pytest_plugins = [
    "support.servers",
    "support.toy",
    "support.r2_fixtures",
    "support.filled_node",
    "support.resolve_scene",
    "support.node_machine",
    "support.origin_scene",
]

# Time on a shared machine says nothing about the code, and nothing is written into the tree.
hypothesis.settings.register_profile("weightdock", deadline=None, database=None)
hypothesis.settings.load_profile("weightdock")

# A runner in the background (nohup, a shell's "&") ignores these, and what it starts would, too: the tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
