"""Asking the double by boto3's names, and by hand for what boto3 does not do."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from support.r2_bench import KEY, Place
from support.r2_double import Key

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NAME = "models/pretrained/toy/model.pth"


def ask(r2: Place, operation: str, /, *, by: S3Client | None = None, **arguments: Any) -> Any:
    """``ask(r2, "put_object", Body=b"…")``: of :data:`NAME` in this bucket, if nothing else is said."""
    needed = {"Bucket": r2.bucket} if operation.startswith("list_o") else {"Bucket": r2.bucket, "Key": NAME}
    return getattr(by or r2.client(), operation)(**needed | arguments)


def refused(answer: str, r2: Place, operation: str, /, *, by: S3Client | None = None, **arguments: Any) -> None:
    """It is answered so: ``412 PreconditionFailed``. (HEAD has no body that could say a code: ``403 403``.)"""
    with pytest.raises(ClientError) as caught:
        ask(r2, operation, by=by, **arguments)
    given = caught.value.response
    said = f"{given['ResponseMetadata']['HTTPStatusCode']} {given['Error']['Code']}"
    assert said == answer, f"{operation}: {said}, not {answer}"


def upload_parts(r2: Place, *sizes: int) -> dict[str, Any]:
    """Send parts of these sizes; gives what ``complete_multipart_upload`` has to be told."""
    upload = ask(r2, "create_multipart_upload")["UploadId"]
    parts = []
    for number, size in enumerate(sizes, start=1):
        sent = ask(r2, "upload_part", UploadId=upload, PartNumber=number, Body=bytes([number]) * size)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    return {"UploadId": upload, "MultipartUpload": {"Parts": parts}}


def signed(
    r2: Place, method: str, body: bytes = b"", key: Key = KEY, query: str = "", **headers: str
) -> dict[str, str]:
    """The headers of a request for :data:`NAME`, signed by botocore; in the names ``_`` stands for ``-``."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, f"{r2.url}/{r2.bucket}/{NAME}{query}", headers=given, data=body)
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    S3SigV4Auth(credentials, "s3", "auto").add_auth(request)
    return dict(request.headers.items())


def send(r2: Place, method: str, headers: Mapping[str, str], body: Any = b"", query: str = "") -> str:
    """Exactly these headers; gives the answer's status and body."""
    connection = http.client.HTTPConnection(urlsplit(r2.url).netloc, timeout=10)
    try:
        connection.request(method, f"/{r2.bucket}/{NAME}{query}", body, dict(headers))
        answer = connection.getresponse()
        return f"{answer.status} {answer.read().decode()}"
    finally:
        connection.close()
