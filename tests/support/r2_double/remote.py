"""The double as a process of its own, and the test's hand on it."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from support.local_ca import Certificate
from support.r2_double.control import encode
from support.r2_double.fault import Fault
from support.r2_double.injection import When
from support.r2_double.record import Entry, Record
from support.r2_double.signature import Key
from support.r2_double.state import Limits

_TESTS = Path(__file__).parents[2]


class RemoteInjection:
    """A fault in place in the other process."""

    def __init__(self, double: RemoteDouble, number: int) -> None:
        self._double = double
        self._number = number

    @property
    def struck(self) -> int:
        """How many requests it was laid on."""
        return int(self._state()["struck"])

    def wait_until_arrived(self, seconds: float = 30) -> None:
        """Return when a request stands still at this ``Pause``. Raises TimeoutError."""
        deadline = monotonic() + seconds
        while not self._state()["arrived"]:
            if monotonic() > deadline:
                raise TimeoutError(f"no request came to a stand within {seconds} s")
            sleep(0.01)

    def release(self) -> None:
        """Let it go on."""
        self._double.ask("POST", f"faults/{self._number}/release")

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._double.ask("GET", "faults")[str(self._number)]
        return state


class RemoteDouble:
    """A context manager with the names of :class:`~support.r2_double.double.R2Double`."""

    def __init__(
        self,
        upstream: str,
        keys: Iterable[Key],
        limits: Limits | None = None,
        without: Iterable[str] = (),
        certificate: Certificate | None = None,
    ) -> None:
        self._settings = {
            "upstream": upstream,
            "keys": [asdict(key) for key in keys],
            "limits": asdict(limits or Limits()),
            "without": list(without),
            "certificate": certificate and {name: str(path) for name, path in asdict(certificate).items()},
        }
        self._trust = ssl.create_default_context(cafile=certificate.authority) if certificate else None
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.r2_double", "-"],
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(self._settings), file=self._process.stdin, flush=True)  # open until we end: so does the double
        self.url = self._process.stdout.readline().strip()  # it listens when it says where
        if not self.url:
            self.__exit__(None, None, None)
            raise RuntimeError("the double ended before it listened; its stderr says why")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()

    @property
    def pid(self) -> int:
        """Of the double's process."""
        assert self._process
        return self._process.pid

    @property
    def record(self) -> Record:
        """What came so far, as a copy."""
        return Record(Entry(**entry) for entry in self.ask("GET", "record"))

    def inject(self, fault: Fault, when: When | None = None) -> RemoteInjection:
        """See :meth:`R2Double.inject`."""
        return RemoteInjection(self, self.ask("POST", "faults", encode(fault, when or When()))["number"])

    def limit(self, **changed: Any) -> None:
        """See :meth:`R2Double.limit`."""
        self.ask("POST", "limits", json.dumps(changed).encode())

    def set_key(self, key: Key) -> None:
        """See :meth:`R2Double.set_key`."""
        self.ask("POST", "keys", json.dumps(asdict(key)).encode())

    def expire_uploads(self, key: str = "") -> int:
        """See :meth:`R2Double.expire_uploads`."""
        return int(self.ask("POST", "expire-uploads", json.dumps({"key": key}).encode())["expired"])

    def ask(self, method: str, what: str, body: bytes | None = None) -> Any:
        """One request to the double's own addresses: see :mod:`support.r2_double.control`."""
        request = UrlRequest(f"{self.url}/_double/{what}", data=body, method=method)
        with urlopen(request, timeout=30, context=self._trust) as answer:
            return json.load(answer)
