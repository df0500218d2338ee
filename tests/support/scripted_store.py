"""A store whose server answers as scripted."""

from __future__ import annotations

from support.fake_time import Time
from support.samples import content
from support.scripted_server import Answer
from support.servers import Server, read
from weightdock.artifact import ObjectKey
from weightdock.store.pace import Pace
from weightdock.store.r2 import R2Store

KEY = ObjectKey("models/pretrained/toy/alpha.bin")

WEIGHTS = content("alpha")

SECRET = "a-secret-that-shows-nowhere"

OK = Answer()

BEGUN = Answer(body=b"<InitiateMultipartUploadResult><UploadId>the-upload</UploadId></InitiateMultipartUploadResult>")

COMPLETED = Answer(body=b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')


def store_at(url: str) -> R2Store:
    environment = Server("scripted", url).environment("weights", AWS_SECRET_ACCESS_KEY=SECRET)
    time = Time()
    return R2Store(read(environment), Pace(sleep=time.sleep, clock=time.clock))


def refusal(status: int, code: str, message: str = "said the store") -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Answer(status, headers=(("Content-Type", "application/xml"),), body=body)
