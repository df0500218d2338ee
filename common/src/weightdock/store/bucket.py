"""One bucket through botocore: every request of a process, at one shared pace.

R2 is S3 with rules of its own (https://developers.cloudflare.com/r2/api/s3/api/): region ``auto``, no checksum
trailers, no ``Expect: 100-continue``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from weightdock.settings import Settings
from weightdock.store.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_SECONDS, READ_SECONDS = 5, 25
"""Time-outs; the second is between two pieces of an answer. An endpoint that is not there is told within 30 s."""

CONFLICT = ("PreconditionFailed", "412")
ABSENT = ("NoSuchKey", "404")
GONE = ("NoSuchUpload",)
TOO_OFTEN = ("TooManyRequests", "429")
"""Refusals that are an answer, by code: the condition does not hold; no object; no upload; a key written too often."""

_CONNECTIONS = 32
_Answer = TypeVar("_Answer")


class Bucket:
    """The bucket of ``settings``. Cheap to make: botocore is imported and the client built with the first request."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        """Raise ConfigurationError without credentials."""
        self.name = settings.bucket
        self.pace = pace or Pace()
        self._credentials = settings.credentials
        self._has_answered = False

    @property
    def endpoint(self) -> str:
        """Where the bucket is."""
        return self._credentials.endpoint_url

    @cached_property
    def client(self) -> S3Client:
        """Botocore's client, which may be used from several threads."""
        from botocore.config import Config
        from botocore.handlers import add_expect_header

        from weightdock.store.session import session

        made: object = session().create_client(
            "s3",
            region_name="auto",
            endpoint_url=self._credentials.endpoint_url,
            aws_access_key_id=self._credentials.access_key_id,
            aws_secret_access_key=self._credentials.secret_access_key,
            aws_session_token=self._credentials.session_token,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 1},  # the pace asks again, for all workers together
                max_pool_connections=_CONNECTIONS,
            ),
        )
        # R2 does not know it, and each request would wait up to a second for an answer. botocore 1.44 turns even bytes
        # into something that has `read`, for which this handler of botocore's asks before sending.
        client = cast("S3Client", made)
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client

    def ask(self, doing: str, request: Callable[[], _Answer]) -> _Answer:
        """The answer to ``request``. Raises StoreError, "the store did not ``doing``"."""
        from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError
        from urllib3.exceptions import HTTPError

        from weightdock.store.refusals import attempts, meaning

        def whole() -> _Answer:
            try:
                return request()
            except HTTPError as error:  # botocore lets it through where the body of a GET's refusal breaks off
                raise ResponseStreamingError(error=error) from error

        try:
            answer = self.pace.ask(whole, lambda error: attempts(error, self._has_answered))
            self._has_answered = True
            return answer
        except (BotoCoreError, ClientError) as error:
            raise meaning(error, doing, self.name, self.endpoint) from error

    def ask_unless(self, expected: tuple[str, ...], doing: str, request: Callable[[], _Answer]) -> _Answer | None:
        """The answer, or None for the refusals that are an answer: their codes are in ``expected``."""
        from botocore.exceptions import ClientError

        from weightdock.store.refusals import code_of

        def tolerant() -> _Answer | None:
            try:
                return request()
            except ClientError as error:
                if code_of(error) in expected:
                    return None
                raise

        return self.ask(doing, tolerant)
