"""R2's rules, one function each. A test names them: ``record.entries()[0].refused_by == rules.no_checksums.__name__``.

Numbers in brackets are those of facts.md. Where R2 is lenient and a client should not rest on it (it takes the region
``us-east-1`` for ``auto``), the double is strict.
"""

from __future__ import annotations

from collections.abc import Callable

from support.r2_double.refusal import Refusal
from support.r2_double.request import COMMITS, WRITES, Operation, Request
from support.r2_double.signature import REGION, check, claim_of
from support.r2_double.state import Expect, State

Rule = Callable[[Request, State], None]


def no_expectation(request: Request, state: State) -> None:
    """[7] ``Expect: 100-continue`` is not supported; botocore sends it with every body that has ``read``."""
    if "expect" in request.headers and state.limits.expect is Expect.FAIL:
        raise Refusal(417, "ExpectationFailed", "R2 does not support Expect: 100-continue")


def region_is_auto(request: Request, state: State) -> None:
    """[1] The region of the signature's scope."""
    region = claim_of(request).region
    if region != REGION:
        message = f"The region name '{region}' is not valid. Must be one of: wnam, enam, weur, eeur, apac, oc, auto"
        raise Refusal(400, "InvalidRegionName", message)


def key_is_known(request: Request, state: State) -> None:
    """[10] An access key of the account, with its session token where it has one, that has not expired."""
    key = state.keys.get(claim_of(request).access_key_id)
    if not key or request.headers.get("x-amz-security-token") != key.session_token:
        raise Refusal(401, "Unauthorized", "Missing or invalid authentication credentials.")
    if key.expired:
        raise Refusal(400, "ExpiredToken", "The provided token has expired.")


def signature_is_right(request: Request, state: State) -> None:
    """SigV4 over this very request, by the secret of this key."""
    claim = claim_of(request)
    if claim.access_key_id in state.keys:
        check(request, claim, state.keys[claim.access_key_id])


def key_may_write(request: Request, state: State) -> None:
    """[10] Read-only tokens only read."""
    key = state.keys.get(claim_of(request).access_key_id)
    if key and key.read_only and request.operation in WRITES:
        raise Refusal(403, "AccessDenied", "Access Denied")


def no_bucket_operations(request: Request, state: State) -> None:
    """[8] Object-scoped tokens may neither ask for buckets nor make or list them."""
    forbidden = {
        Operation.HEAD_BUCKET,
        Operation.CREATE_BUCKET,
        Operation.DELETE_BUCKET,
        Operation.LIST_BUCKETS,
    }
    if request.operation in forbidden:
        raise Refusal(403, "AccessDenied", "Access Denied")


def no_checksums(request: Request, state: State) -> None:
    """[2] What boto3 ≥ 1.36 adds by default. ``x-amz-checksum-mode`` asks for one back, and is harmless."""
    for name, value in request.headers.items():
        if name == "x-amz-sdk-checksum-algorithm" or (
            name.startswith("x-amz-checksum-") and name != "x-amz-checksum-mode"
        ):
            raise Refusal(501, "NotImplemented", f"Header '{name}' with value '{value}' not implemented")


def no_trailers(request: Request, state: State) -> None:
    """[2] Neither ``aws-chunked`` bodies nor trailers."""
    for name in ("x-amz-content-sha256", "content-encoding", "x-amz-trailer"):
        value = request.headers.get(name, "")
        if "STREAMING-" in value or "aws-chunked" in value or (name == "x-amz-trailer" and value):
            raise Refusal(501, "NotImplemented", f"{value} not implemented")


def length_is_known(request: Request, state: State) -> None:
    """A body says how long it is before it comes."""
    if request.length is None and (request.method == "PUT" or "transfer-encoding" in request.headers):
        raise Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")


def body_fits(request: Request, state: State) -> None:
    """[3] 5 GiB in one request, whether object or part."""
    if (request.length or 0) > state.limits.max_body_bytes:
        raise Refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")


def metadata_fits(request: Request, state: State) -> None:
    """[11] 8,192 bytes of names and values."""
    prefix = "x-amz-meta-"
    pairs = ((name.removeprefix(prefix), value) for name, value in request.headers.items() if name.startswith(prefix))
    if sum(len(name) + len(value) for name, value in pairs) > state.limits.max_metadata_bytes:
        message = "Your metadata headers exceed the maximum allowed metadata size."
        raise Refusal(400, "MetadataTooLarge", message)


def part_number_fits(request: Request, state: State) -> None:
    """[3] From 1 to 10,000."""
    most = state.limits.max_parts
    if request.operation is Operation.UPLOAD_PART and not 1 <= (request.part or 0) <= most:
        raise Refusal(400, "InvalidArgument", f"Part number must be an integer between 1 and {most}, inclusive.")


def upload_is_open(request: Request, state: State) -> None:
    """[3] An upload that was completed, aborted or has expired is gone."""
    upload = state.upload(request.upload)
    if upload and (upload.closed or (upload.bucket, upload.key) != (request.bucket, request.key)):
        raise Refusal(404, "NoSuchUpload", "The specified multipart upload does not exist.")


def one_write_a_second(request: Request, state: State) -> None:
    """[6] Per key. What this refuses does not count; what a condition refuses later does."""
    if request.operation in COMMITS and not state.may_write(request.path):
        message = "Reduce your concurrent request rate for the same object."
        raise Refusal(429, "TooManyRequests", message)


RULES: tuple[Rule, ...] = (
    no_expectation,
    region_is_auto,
    key_is_known,
    signature_is_right,
    key_may_write,
    no_bucket_operations,
    no_checksums,
    no_trailers,
    length_is_known,
    body_fits,
    metadata_fits,
    part_number_fits,
    upload_is_open,
    one_write_a_second,
)
"""In the order in which they are asked, before the body is read."""
