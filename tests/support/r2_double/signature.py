"""AWS Signature Version 4, made and checked by hand over the canonical request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from support.r2_double.refusal import Refusal
from support.r2_double.request import Request

REGION = "auto"
_ALLOWED_SKEW = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]*)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[^, ]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Key:
    """A token of the account. One with a session token is temporary, and may have expired."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expired: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Claim:
    """What an Authorization header says, before anybody believes it."""

    access_key_id: str
    date: str
    region: str
    signed: tuple[str, ...]
    signature: str


def claim_of(request: Request) -> Claim:
    """Read the Authorization header. R2 answers 401 where there is none, S3 itself 403."""
    header = request.headers.get("authorization")
    if header is None:
        raise Refusal(401, "Unauthorized", "Missing or invalid authentication credentials.")
    found = _AUTHORIZATION.fullmatch(header)
    if not found:
        raise Refusal(400, "InvalidArgument", "Authorization")
    return Claim(found["id"], found["date"], found["region"], tuple(found["signed"].split(";")), found["signature"])


def check(request: Request, claim: Claim, key: Key, now: datetime | None = None) -> None:
    """Raises Refusal unless ``key`` signed exactly this request, with all that S3 wants signed, and lately."""
    stamp = request.headers.get("x-amz-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(403, "AccessDenied", "a valid x-amz-date header is required") from None
    if abs((now or datetime.now(UTC)) - signed_at) > _ALLOWED_SKEW:
        raise Refusal(403, "RequestTimeTooSkewed", "the difference between the request's time and ours is too large")
    needed = {"host", "x-amz-content-sha256"} | {name for name in request.headers if name.startswith("x-amz-")}
    unsigned = needed - set(claim.signed)
    if unsigned:
        raise Refusal(403, "AccessDenied", f"not signed: {', '.join(sorted(unsigned))}")
    expected = signature(request, claim.signed, key.secret_access_key, claim.region, stamp)
    if claim.date != stamp[:8] or not hmac.compare_digest(expected, claim.signature):
        raise Refusal(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your secret access key and signing method.",
        )


def signature(request: Request, signed: Iterable[str], secret: str, region: str, stamp: str) -> str:
    """The 64 hexadecimal digits."""
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    canonical = hashlib.sha256(_canonical(request, tuple(signed)).encode()).hexdigest()
    secret_bytes = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        secret_bytes = _hmac(secret_bytes, part)
    return _hmac(secret_bytes, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{canonical}").hex()


def sign(method: str, path: str, query: str, host: str, key: Key) -> Request:
    """A request without a body that ``key`` may make, ready to be sent."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    pairs = [("Host", host), ("x-amz-content-sha256", hashlib.sha256(b"").hexdigest()), ("x-amz-date", stamp)]
    if key.session_token:
        pairs.append(("x-amz-security-token", key.session_token))
    names = sorted(name.lower() for name, _ in pairs)
    digits = signature(Request(method, path, query, tuple(pairs)), names, key.secret_access_key, REGION, stamp)
    credential = f"{key.access_key_id}/{stamp[:8]}/{REGION}/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={digits}"
    return Request(method, path, query, (*pairs, ("Authorization", authorization)))


def _canonical(request: Request, signed: tuple[str, ...]) -> str:
    fields = (field.partition("=") for field in request.query.split("&") if field)
    query = sorted((_encode(name), _encode(value)) for name, _, value in fields)
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed]
    return "\n".join(
        (
            request.method,
            quote(unquote(request.path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in query),
            "".join(headers),
            ";".join(signed),
            request.headers.get("x-amz-content-sha256", ""),
        )
    )


def _encode(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
