"""The double as a process, for as long as its standard input is open; it says its address on standard output.

The settings are JSON: the one argument or, for ``-``, the first line of the input::

    python -m support.r2_double '{"upstream": "http://127.0.0.1:5000",
                                  "keys": [{"access_key_id": "id", "secret_access_key": "secret"}]}'
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from support.local_ca import Certificate
from support.r2_double.double import R2Double
from support.r2_double.signature import Key
from support.r2_double.state import Expect, Limits


def main(argument: str) -> None:
    settings = json.loads(sys.stdin.readline() if argument == "-" else argument)
    limits = settings.get("limits", {})
    if "expect" in limits:
        limits["expect"] = Expect(limits["expect"])
    certificate = settings.get("certificate")
    double = R2Double(
        settings["upstream"],
        [Key(**key) for key in settings["keys"]],
        Limits(**limits),
        settings.get("without", ()),
        Certificate(**{name: Path(path) for name, path in certificate.items()}) if certificate else None,
        settings.get("port", 0),
    )
    with double:
        print(double.url, flush=True)  # noqa: T201  # whoever started it reads this
        with suppress(KeyboardInterrupt):
            sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
