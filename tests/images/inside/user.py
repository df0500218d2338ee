"""Who runs here, and what they may write."""

import os
from pathlib import Path

for folder in ("/workspace/data/.cache", "/workspace/data/.cache/models"):
    probe = Path(folder, "probe")
    probe.touch()
    probe.unlink()
writable = [path for path in ("/opt/weightdock", "/usr/bin", "/etc") if os.access(path, os.W_OK)]
assert not writable, writable
print(os.getuid(), os.getgid(), end="; cache writable, programs not\n")  # noqa: T201  # the answer
