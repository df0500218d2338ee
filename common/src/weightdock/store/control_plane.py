"""What carries no bytes goes through botocore: multipart uploads begun, listed, completed and aborted, and deletions.

R2 is S3 with rules of its own, which it is set up for here (https://developers.cloudflare.com/r2/api/s3/api/): region
``auto``, no checksum trailers, no ``Expect: 100-continue``.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header
from botocore.session import Session
from urllib3 import PoolManager, ProxyManager, Timeout, exceptions

from weightdock.store import endpoint
from weightdock.store.endpoint import Endpoint
from weightdock.store.pace import SLOTS
from weightdock.store.refusals import BrokenOff, Refused, Senseless, StoreFault, Unreached, Way

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from weightdock.settings import Credentials


_NO_SETTINGS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""Ours are the only ones: a profile of somebody's AWS account, or one that is not there, is nothing to this bucket."""


def make_client(credentials: Credentials, to: Endpoint) -> S3Client:
    """Botocore's client, which signs and understands; urllib3 sends. It may be used from several threads."""
    http = connections(to)

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        answer = http.urlopen(
            request.method,
            request.url,
            body=request.body,
            headers=request.headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        return AWSResponse(request.url, answer.status, answer.headers, answer)  # type: ignore[arg-type]  # as botocore does

    made: object = Session(_NO_SETTINGS).create_client(
        "s3",
        region_name="auto",
        endpoint_url=credentials.endpoint_url,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": 1},  # the pace asks again, for all workers together
        ),
    )
    # R2 does not know it, and each request would wait up to a second for an answer. botocore 1.44 turns even bytes
    # into something that has `read`, for which this handler of botocore's asks before sending.
    client = cast("S3Client", made)
    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register("before-send.s3", send)  # type: ignore[arg-type]  # here handlers may answer
    return client


def connections(to: Endpoint) -> PoolManager:
    """For several threads. Nobody asks again here: the pace does, for all workers together."""
    given: dict[str, Any] = {
        "maxsize": SLOTS,
        "retries": False,
        "timeout": Timeout(connect=endpoint.CONNECT_SECONDS, read=endpoint.READ_SECONDS),
        "ssl_context": to.tls if to.url.scheme == "https" else None,
    }
    if to.proxy is None:
        return PoolManager(**given)
    return ProxyManager(to.proxy.geturl(), proxy_headers=to.proxy_headers, proxy_ssl_context=to.tls, **given)


def fault(error: Exception) -> StoreFault | None:
    """What botocore met, in our words; None for what is no fault of the store or the way there."""
    match error:
        case ClientError():
            said = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Refused(status, str(said.get("Code", "")), said.get("Message", ""))
        case exceptions.HTTPError():
            return _broken(error)
        case BotoCoreError():
            return Senseless(f"{type(error).__name__}: {error}")
        case _:
            return None


def _broken(error: exceptions.HTTPError) -> StoreFault:
    """What urllib3 met."""
    match error:
        case exceptions.ProxyError():
            return Unreached(Way.NO_CONNECTION, f"{error.args[0]} {error.original_error}")
        case exceptions.SSLError():
            hung_up = isinstance(error.args[0], ssl.SSLEOFError | ssl.SSLZeroReturnError)
            return Unreached(Way.NO_CONNECTION if hung_up else Way.NO_TRUST, str(error))
        case exceptions.NewConnectionError():
            return Unreached(Way.NO_CONNECTION, f"could not connect ({error.__cause__ or error})")
        case exceptions.ConnectTimeoutError():
            return Unreached(Way.NO_CONNECTION, f"no connection within {endpoint.CONNECT_SECONDS} s")
        case exceptions.ReadTimeoutError():
            return Unreached(Way.NO_ANSWER, f"no answer within {endpoint.READ_SECONDS} s")
        case _:
            return BrokenOff(str(error))
