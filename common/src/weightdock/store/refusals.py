"""What goes wrong between here and a store: whether it passes, and in words which of the usual causes it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from weightdock.errors import StoreError
from weightdock.store.pace import ATTEMPTS

_WRONG_KEYS = {
    "AuthorizationHeaderMalformed",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "SignatureDoesNotMatch",
    "Unauthorized",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken"}
_WRONG_TIME = {"RequestTimeTooSkewed", "RequestExpired"}
_NOT_ALLOWED = {"AccessDenied", "Forbidden", "403"}
_PASSING_CODES = {
    "BadDigest",  # damaged on the way
    "ConditionalRequestConflict",  # somebody is writing it right now
    "IncompleteBody",
    "InternalError",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "TooManyRequests",
    "XAmzContentSHA256Mismatch",  # damaged on the way
}
_TO_CONNECT = 3  # with a time-out of five seconds each, an endpoint that is not there is told within 30


class StoreFault(Exception):  # noqa: N818  # what it becomes, when it does not pass, is a StoreError
    """What a request met. ``str`` of it is what the other side, or the network, said."""


@dataclass
class Refused(StoreFault):
    """An answer that is none of the good ones. ``code`` is S3's; for answers without a body, the HTTP status."""

    status: int
    code: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.said or 'no message'}"


class Way(Enum):
    """How far a request got that has no answer."""

    NO_CONNECTION = "no connection"
    NO_TRUST = "a certificate that nobody vouches for"
    NO_ANSWER = "silence"


@dataclass
class Unreached(StoreFault):
    """A request without an answer."""

    way: Way
    said: str

    def __str__(self) -> str:
        return self.said


class BrokenOff(StoreFault):
    """An answer that ended too early, or is not what its ETag says: asked for again."""


class Senseless(StoreFault):
    """An answer that no S3 server gives, or a request that none would get."""


def attempts(error: Exception, has_answered: bool) -> int:
    """How often a request may meet this error: once, if asking again would give the same answer.

    An endpoint that ``has_answered`` before is worth more patience than one that may not be a store at all.
    """
    match error:
        case Refused():
            return ATTEMPTS if _passes(error.status) or error.code in _PASSING_CODES else 1
        case Unreached(way=Way.NO_CONNECTION):
            return ATTEMPTS if has_answered else _TO_CONNECT
        case Unreached(way=Way.NO_ANSWER):
            return ATTEMPTS if has_answered else 1
        case BrokenOff():
            return ATTEMPTS
        case _:
            return 1


def _passes(status: int) -> bool:
    """Cloudflare's own, from 520 on, too: its edge is before R2. 501 is what the store never does."""
    return status in (408, 429) or (status >= 500 and status != 501)


def meaning(error: StoreFault, doing: str, bucket: str, endpoint: str) -> StoreError:
    """The error for people. ``doing`` completes "the store did not …"."""
    cause, next_step = _explain(error, bucket, endpoint)
    return StoreError(f"the store did not {doing}", cause=" ".join(cause.split()), next=next_step)


def _explain(error: StoreFault, bucket: str, endpoint: str) -> tuple[str, str]:
    if isinstance(error, BrokenOff):
        return (
            f"{endpoint} ended its answer too early, and did so again: {error}",
            "run again; see to the network",
        )
    if isinstance(error, Unreached):
        return (
            f"{endpoint} cannot be reached: {error}",
            "check AWS_S3_ENDPOINT_URL and the network between here and there",
        )
    if not isinstance(error, Refused):
        return f"{endpoint} is no S3 server, it seems: {error}", "check AWS_S3_ENDPOINT_URL"
    if error.code in _WRONG_KEYS:
        return (
            f"{endpoint} refuses the credentials ({error})",
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
        )
    if error.code in _EXPIRED:
        return f"the credentials have expired ({error})", "get new ones; AWS_SESSION_TOKEN belongs to them"
    if error.code in _WRONG_TIME:
        return (
            f"{endpoint} has another time than this machine ({error})",
            "set this machine's clock (NTP), then run again",
        )
    if error.code in _NOT_ALLOWED:
        return (
            f"the credentials may not do this in bucket {bucket!r} ({error})",
            "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only",
        )
    if error.code == "NoSuchBucket":
        return (
            f"there is no bucket {bucket!r} at {endpoint}",
            "create it, or set WEIGHTDOCK_BUCKET to the one that exists",
        )
    if error.status in range(300, 400):
        return f"{endpoint} sends us elsewhere: {error.status} ({error})", "check AWS_S3_ENDPOINT_URL"
    return f"{endpoint} answered {error.status} ({error})", "run again; what was finished is not repeated"
