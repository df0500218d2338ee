"""Stands in for ``weightdock`` in a container of the driver's tests: plays what the image's PLAY says."""

import os
import signal
import sys
import time
from pathlib import Path

play = os.environ["PLAY"]
for line in Path("/lines.ndjson").read_text(encoding="utf-8").splitlines(keepends=True):
    sys.stdout.write(line)  # what the real one would print with --events
    sys.stdout.flush()
    if play == "work":
        time.sleep(0.2)
if play == "crash":
    sys.exit("Illegal instruction, or so")
if play == "refuse":
    sys.stderr.write("error: the store refused the key\ncause: SignatureDoesNotMatch\nnext: check the secret\n")
    sys.exit(5)
if play == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if play in ("wait", "stubborn"):
    time.sleep(600)
sys.exit(3 if play == "fail" else 0)
