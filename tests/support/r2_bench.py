"""A double of R2 with what a test wants to know of it; :mod:`support.r2_fixtures` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support import servers
from support.r2_double import Key, Limits, R2Double
from support.servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server
from weightdock.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

KEY = Key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
QUICK = Limits(min_part_bytes=1024, writes_per_second=0)
"""R2 for tests that are not about part sizes and write rates."""


@dataclass(frozen=True)
class Place:
    """A bucket at an address where R2's rules are kept, and the server behind, where they are not."""

    url: str
    behind: Server
    bucket: str
    authority: Path | None = None

    def client(self, key: Key = KEY, region: str = "auto", read_timeout: int = 10) -> S3Client:
        """boto3 set up as R2 wants it, and without second attempts: each answer shows."""
        import boto3
        from botocore.config import Config
        from botocore.handlers import add_expect_header

        client = boto3.client(
            "s3",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            verify=str(self.authority) if self.authority else None,
            config=Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                read_timeout=read_timeout,
                retries={"total_max_attempts": 1},
            ),
        )
        # Of bytes too botocore makes something that has `read` (convert_body_to_file_like_object), and so it expects.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client

    def environment(self, **changed: str) -> dict[str, str]:
        """The variables by which weightdock finds the bucket here."""
        trust = {"AWS_CA_BUNDLE": str(self.authority)} if self.authority else {}
        return Server("r2", self.url).environment(self.bucket, **(trust | changed))

    def settings(self, **changed: str) -> Settings:
        """The same, read."""
        return servers.read(self.environment(**changed))

    def content(self, key: str) -> bytes:
        """What really stands in the store, past all rules and faults."""
        return self.behind.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        """The keys that really stand in the store."""
        found = self.behind.client().list_objects_v2(Bucket=self.bucket)
        return [one["Key"] for one in found.get("Contents", [])]


@dataclass(frozen=True)
class Bench(Place):
    """A place whose double is in this process."""

    double: R2Double = field(kw_only=True)

    @classmethod
    def of(cls, double: R2Double, behind: Server, bucket: str = "", authority: Path | None = None) -> Bench:
        """Of ``double`` before ``behind``; the bucket is one that no other test knows, if none is named."""
        return cls(double.url, behind, bucket or behind.new_bucket(), authority, double=double)
