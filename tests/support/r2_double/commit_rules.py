"""R2's rules for the moment in which an object comes to be, or is refused. See :mod:`support.r2_double.rules`.

Each gets the ETag that stands under the key (None: nothing does) and the end of the body, which for
CompleteMultipartUpload is the whole list of parts.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

from support.r2_double.refusal import Refusal
from support.r2_double.request import Operation, Request
from support.r2_double.state import State

CommitRule = Callable[[Request, State, str | None, bytes], None]


def parts_are_equal(request: Request, state: State, etag: str | None, payload: bytes) -> None:
    """[3] All but the last of one size, that one no larger; looked at when the upload is completed, not before."""
    upload = state.upload(request.upload)
    if request.operation is not Operation.COMPLETE_UPLOAD or not upload:
        return
    numbers = _part_numbers(payload)
    if len(numbers) > state.limits.max_parts:
        raise Refusal(400, "InvalidArgument", f"At most {state.limits.max_parts} parts are allowed.")
    if any(number not in upload.parts for number in numbers):
        raise Refusal(400, "InvalidPart", "One or more of the specified parts could not be found.")
    *leading, last = [upload.parts[number] for number in numbers]
    if any(size < state.limits.min_part_bytes for size in leading):
        raise Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
    if len(set(leading)) > 1 or (leading and last > leading[0]):
        raise Refusal(400, "InvalidPart", "All non-trailing parts must have the same length.")


def condition_holds(request: Request, state: State, etag: str | None, payload: bytes) -> None:
    """[4] If-None-Match and If-Match against ``etag``, what stands under the key now. An ETag has its quotes."""
    unwanted, wanted = request.headers.get("if-none-match"), request.headers.get("if-match")
    failed = (unwanted is not None and _matches(unwanted, etag)) or (wanted is not None and not _matches(wanted, etag))
    if failed:
        raise Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


COMMIT_RULES: tuple[CommitRule, ...] = (condition_holds, parts_are_equal)
"""Asked when all of the body is here, and nobody else can write the key."""


def _matches(condition: str, etag: str | None) -> bool:
    return etag is not None and (condition.strip() == "*" or etag in [one.strip() for one in condition.split(",")])


def _part_numbers(payload: bytes) -> list[int]:
    try:
        numbers = [
            int(number.text or "")
            for number in ElementTree.fromstring(payload).iter()
            if number.tag.rpartition("}")[2] == "PartNumber"
        ]
    except (ElementTree.ParseError, ValueError):
        numbers = []
    if not numbers:
        raise Refusal(400, "MalformedXML", "The XML you provided was not well formed.")
    if numbers != sorted(set(numbers)):
        raise Refusal(400, "InvalidPartOrder", "The parts were not listed in ascending order.")
    return numbers
