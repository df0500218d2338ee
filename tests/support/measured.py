"""Run a module's ``main`` and write down what it took: memory, time of the processor, and processes that it started.

``python -m support.measured OUTPUT MODULE [ARGUMENT…]``
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path

from support.command import environment

_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn", "os.system")


@dataclass
class Usage:
    """``peak_bytes`` is the most of memory that it ever had, ``started`` names how it started other processes.

    The peak is the kernel's VmHWM: getrusage's begins with what the process that forked it had.
    """

    code: int = -1
    stdout: str = ""
    stderr: str = ""
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    started: list[str] = field(default_factory=list)


def measure(module: str, *arguments: str, given: Mapping[str, str], folder: Path, seconds: float = 120) -> Usage:
    """A new process's, with ``given`` as its only settings."""
    output = folder / "usage.json"
    tests = str(Path(__file__).parents[1])
    python_path = ":".join(path for path in (given.get("PYTHONPATH", ""), tests) if path)
    command: Sequence[str] = [sys.executable, "-m", "support.measured", str(output), module, *arguments]
    ran = subprocess.run(
        command,
        env=environment({**given, "PYTHONPATH": python_path}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    usage = json.loads(output.read_text(encoding="utf-8"))
    return Usage(**{**usage, "code": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr})


if __name__ == "__main__":
    usage = Usage()

    def hear(event: str, _arguments: tuple[object, ...]) -> None:
        if event in _STARTS:
            usage.started.append(event)

    output, module, *arguments = sys.argv[1:]
    sys.addaudithook(hear)
    try:
        import_module(module).main(arguments)
    finally:
        spent = resource.getrusage(resource.RUSAGE_SELF)
        usage.cpu_seconds = spent.ru_utime + spent.ru_stime
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
        assert found
        usage.peak_bytes = int(found[1]) * 1024
        Path(output).write_text(json.dumps(asdict(usage)), encoding="utf-8")
