"""What a store's refusal means: whether it passes, and in words which of the usual causes it is."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

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
_NOT_ALLOWED = {"AccessDenied", "Forbidden", "403"}
_PASSING = {429, 500, 502, 503, 504}
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


def code_of(error: ClientError) -> str:
    """The S3 error code; for answers without a body, the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def attempts(error: Exception, has_answered: bool) -> int:
    """How often a request may meet this error: once, if asking again would give the same answer.

    An endpoint that ``has_answered`` before is worth more patience than one that may not be a store at all.
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return ATTEMPTS if status in _PASSING or code_of(error) in _PASSING_CODES else 1
    if isinstance(error, SSLError):
        return 1
    if not has_answered and isinstance(error, ReadTimeoutError):
        return 1
    if not has_answered and isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return _TO_CONNECT
    passing = ConnectionError | HTTPClientError | IncompleteReadError | ResponseStreamingError
    return ATTEMPTS if isinstance(error, passing) else 1


def damaged(key: str) -> BotoCoreError:
    """What came is not what its ETag says: asked for again as an answer that was cut off is."""
    return ResponseStreamingError(error=f"the bytes of {key} are not those of its ETag")


def cut_off(key: str) -> BotoCoreError:
    """An answer that ended before it was complete, and did not say so."""
    return ResponseStreamingError(error=f"the answer with {key} ended too early")


def meaning(error: ClientError | BotoCoreError, doing: str, bucket: str, endpoint: str) -> StoreError:
    """The error for people. ``doing`` completes "the store did not …"."""
    cause, next_step = _explain(error, bucket, endpoint)
    return StoreError(f"the store did not {doing}", cause=" ".join(cause.split()), next=next_step)


def _explain(error: ClientError | BotoCoreError, bucket: str, endpoint: str) -> tuple[str, str]:
    if isinstance(error, IncompleteReadError | ResponseStreamingError):
        return (
            f"{endpoint} ended its answer too early, and did so again: {error}",
            "run again; see to the network",
        )
    if isinstance(error, ConnectionError | HTTPClientError):
        return (
            f"{endpoint} cannot be reached: {error}",
            "check AWS_S3_ENDPOINT_URL and the network between here and there",
        )
    if not isinstance(error, ClientError):
        return f"{type(error).__name__}: {error}", "check the AWS_ settings"
    code = code_of(error)
    said = error.response.get("Error", {}).get("Message", "") or "no message"
    if code in _WRONG_KEYS:
        return (
            f"{endpoint} refuses the credentials ({code}: {said})",
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: they must be of one token, and of this account",
        )
    if code in _EXPIRED:
        return f"the credentials have expired ({code}: {said})", "get new ones; AWS_SESSION_TOKEN belongs to them"
    if code in _NOT_ALLOWED:
        return (
            f"the credentials may not do this in bucket {bucket!r} ({code}: {said})",
            "use a token that may: uploaders need Object Read & Write on the bucket, nodes Object Read only",
        )
    if code == "NoSuchBucket":
        return (
            f"there is no bucket {bucket!r} at {endpoint}",
            "create it, or set WEIGHTDOCK_BUCKET to the one that exists",
        )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no")
    return f"{endpoint} answered {status} ({code}: {said})", "run again; what was finished is not repeated"
