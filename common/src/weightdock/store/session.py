"""An S3 client, without what a run that only asks would pay for: with nothing to do, it was half of the run.

botocore lists its models of some 450 services, each in a folder, before it reads the one that is named; and it reads
each time in a listing by guessing its format. boto3 is a layer above it, of which nothing is used here.
"""

from __future__ import annotations

from datetime import datetime

from botocore.loaders import Loader
from botocore.session import Session, get_session
from botocore.utils import parse_timestamp


class _OneService(Loader):
    """Knows without looking."""

    def list_available_services(self, type_name: str) -> list[str]:
        return ["s3"]


def session() -> Session:
    """A session for S3 alone."""
    made = get_session()
    made.register_component("data_loader", _OneService())
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
    return made


def _time(said: str) -> datetime:
    """Bodies have ISO 8601, headers have the format of HTTP."""
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return parse_timestamp(said)
