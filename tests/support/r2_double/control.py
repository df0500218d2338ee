"""The double's own addresses, by which a test in another process sets faults and reads the record.

No bucket can have the name, since bucket names have no underscore::

    GET    /_double/record               every request so far
    DELETE /_double/record
    POST   /_double/faults               {"fault": "Truncate", "with": {"at": 10}, "when": {"operation": "GetObject"}}
    GET    /_double/faults               what is in place, and what it struck
    POST   /_double/faults/3/release     let a Pause go on
    DELETE /_double/faults
    POST   /_double/limits               {"writes_per_second": 20}
    POST   /_double/keys                 {"access_key_id": …, "secret_access_key": …, "expired": true}
    POST   /_double/expire-uploads       {"key": ".pth"}
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from support.r2_double import faults, hooks
from support.r2_double.fault import Fault, Moment
from support.r2_double.injection import When
from support.r2_double.request import Request
from support.r2_double.signature import Key
from support.r2_double.state import Expect

if TYPE_CHECKING:
    from support.r2_double.double import R2Double

BUCKET = "_double"

_FAULTS: dict[str, type[Fault]] = {
    kind.__name__: kind
    for kind in (
        faults.Refuse,
        faults.ResetRequest,
        faults.ResetAnswer,
        faults.Truncate,
        faults.FlipByte,
        faults.SlowRequest,
        faults.SlowAnswer,
        faults.Delay,
        faults.Silence,
        faults.DropAnswer,
        hooks.Pause,
    )
}


def encode(fault: Fault, when: When) -> bytes:
    """What is posted to ``faults``. Raises TypeError for what only works within one process."""
    name = type(fault).__name__
    if name not in _FAULTS or when.predicate:
        raise TypeError(f"{name} with {when} works only in the process of the test")
    sendable = {one.name: getattr(fault, one.name) for one in fields(fault) if one.compare}
    matching = {one.name: getattr(when, one.name) for one in fields(when) if one.name != "predicate"}
    return json.dumps({"fault": name, "with": sendable, "when": matching}).encode()


def answer(double: R2Double, request: Request, body: bytes) -> tuple[int, bytes]:
    """Status and JSON; 404 for what there is not."""
    given = json.loads(body) if body else {}
    if request.method == "POST":
        found = _change(double, request.key, given)
    else:
        found = (_clear if request.method == "DELETE" else _show)(double, request.key)
    return (404, b"null") if found is None else (200, json.dumps(found).encode())


def _show(double: R2Double, what: str) -> object:
    if what == "record":
        return [entry.as_json() for entry in double.record.entries()]
    if what == "faults":
        return {
            str(one.number): {"fault": type(one.fault).__name__, "struck": one.struck, "arrived": one.arrived}
            for one in double.injections.placed()
        }
    return None


def _clear(double: R2Double, what: str) -> object:
    if what not in ("record", "faults"):
        return None
    (double.record if what == "record" else double.injections).clear()
    return {}


def _change(double: R2Double, what: str, given: dict[str, Any]) -> object:
    match what.split("/"):
        case ["faults"]:
            return {"number": double.inject(_decoded(given), When(**given.get("when", {}))).number}
        case ["faults", number, "release"]:
            for one in double.injections.placed():
                if one.number == int(number):
                    one.release()
        case ["limits"]:
            double.limit(**given | ({"expect": Expect(given["expect"])} if "expect" in given else {}))
        case ["keys"]:
            double.set_key(Key(**given))
        case ["expire-uploads"]:
            return {"expired": double.expire_uploads(given.get("key", ""))}
        case _:
            return None
    return {}


def _decoded(given: dict[str, Any]) -> Fault:
    arguments = dict(given.get("with", {}))
    if "moment" in arguments:
        arguments["moment"] = Moment(arguments["moment"])
    return _FAULTS[given["fault"]](**arguments)
