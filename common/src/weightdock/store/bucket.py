"""One bucket: every request of a process, at one shared pace."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from weightdock.settings import Settings
from weightdock.store.pace import Pace
from weightdock.store.refusals import Refused, StoreFault, attempts, meaning

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from weightdock.store.data_plane import DataPlane
    from weightdock.store.endpoint import Endpoint

CONFLICT = ("PreconditionFailed", "412")
ABSENT = ("NoSuchKey", "404")
GONE = ("NoSuchUpload",)
TOO_OFTEN = ("TooManyRequests", "429")
"""Refusals that are an answer, by code: the condition does not hold; no object; no upload; a key written too often."""

_Answer = TypeVar("_Answer")


class Bucket:
    """The bucket of ``settings``. Cheap to make: either plane is made by the first thread that uses it."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        """Raise ConfigurationError without credentials."""
        self.name = settings.bucket
        self.pace = pace or Pace()
        self._credentials = settings.credentials
        self._has_answered = False
        self._making = RLock()
        self._data: DataPlane | None = None
        self._client: S3Client | None = None
        self._endpoint: Endpoint | None = None

    @property
    def endpoint(self) -> str:
        """Where the bucket is."""
        return self._credentials.endpoint_url

    @property
    def data(self) -> DataPlane:
        """What carries bytes."""
        with self._making:
            if self._data is None:
                from weightdock.store.data_plane import DataPlane

                self._data = DataPlane(self._credentials, self._way())
            return self._data

    @property
    def client(self) -> S3Client:
        """What carries none: botocore's client."""
        with self._making:
            if self._client is None:
                from weightdock.store.control_plane import make_client

                self._client = make_client(self._credentials, self._way())
            return self._client

    def _way(self) -> Endpoint:
        from weightdock.store.endpoint import Endpoint

        self._endpoint = self._endpoint or Endpoint.of(self._credentials)
        return self._endpoint

    def ask(self, doing: str, request: Callable[[], _Answer]) -> _Answer:
        """The answer to ``request``. Raises StoreError, "the store did not ``doing``"."""
        try:
            answer = self.pace.ask(lambda: self._once(request), lambda error: attempts(error, self._has_answered))
        except StoreFault as error:
            raise meaning(error, doing, self.name, self.endpoint) from error
        self._has_answered = True
        return answer

    def ask_unless(self, expected: tuple[str, ...], doing: str, request: Callable[[], _Answer]) -> _Answer | None:
        """The answer, or None for the refusals that are an answer: their codes are in ``expected``."""

        def tolerant() -> _Answer | None:
            try:
                return self._once(request)
            except Refused as error:
                if error.code in expected:
                    return None
                raise

        return self.ask(doing, tolerant)

    def _once(self, request: Callable[[], _Answer]) -> _Answer:
        try:
            return request()
        except StoreFault:
            raise
        except Exception as error:
            if self._client is None:  # only who uses it fails as botocore does
                raise
            from weightdock.store.control_plane import fault

            met = fault(error)
            if met is None:
                raise
            raise met from error
