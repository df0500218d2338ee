"""One request on its way through the double: the rules, the store behind, and what is remembered of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from xml.etree import ElementTree

from support.r2_double import upstream
from support.r2_double.commit_rules import COMMIT_RULES
from support.r2_double.fault import Connection, Fault
from support.r2_double.refusal import Refusal
from support.r2_double.request import COMMITS, Operation, Request
from support.r2_double.rules import RULES
from support.r2_double.state import State
from support.r2_double.upstream import Answer, Upstream

_ORDERED = COMMITS | {Operation.CREATE_UPLOAD, Operation.DELETE_OBJECT}
_SHA256 = re.compile(r"[0-9a-f]{64}")

_ONE_AT_A_TIME = Lock()
"""moto works an object's ETag out when somebody first asks, and two at once may spoil it for good."""


class Store:
    """A bucket that keeps R2's rules: those of ``without`` excepted."""

    def __init__(self, server: Upstream, state: State, without: frozenset[str]) -> None:
        self._server = server
        self._state = state
        self._without = without

    def admit(self, request: Request) -> None:
        """Raises Refusal for what can be seen before the body is read."""
        for rule in RULES:
            with self._named(rule.__name__):
                rule(request, self._state)

    @contextmanager
    def exchange(
        self, request: Request, body: Iterator[bytes], faults: Iterable[Fault], connection: Connection
    ) -> Iterator[Answer]:
        """The store's answer. The body streams; its end is held back until all of it is known to be good.

        So what is refused for its digest or its condition, or breaks off, is never applied: the server behind has
        not got the whole of it.
        """
        with ExitStack() as stack:
            behind = self._server.open()
            stack.callback(behind.close)
            with ExitStack() as commit:
                end = self._send_all_but_the_end(request, body, behind)
                self._commit(request, end, commit)
                commit.enter_context(_ONE_AT_A_TIME)
                if behind.sock is None:
                    upstream.begin(behind, request)
                upstream.send(behind, end)
                answer = upstream.answer_of(behind, request)
                self._expect_open(request, answer)
                self._remember(request, answer)
            for fault in faults:
                fault.after(connection)
            yield answer

    def expire_uploads(self, key: str = "") -> int:
        """What R2 does after seven days: end the unfinished uploads of keys that end so. How many it were."""
        uploads = self._state.open_uploads(key)
        for one in uploads:
            self._end_upload(one.bucket, one.key, one.id)
        return len(uploads)

    def _send_all_but_the_end(
        self, request: Request, body: Iterator[bytes], behind: http.client.HTTPConnection
    ) -> bytes:
        chunks = self._checked(request, body)
        if request.operation is Operation.COMPLETE_UPLOAD:
            return b"".join(chunks)
        end = b""
        for chunk in chunks:
            if end:
                if behind.sock is None:
                    upstream.begin(behind, request)
                upstream.send(behind, end)
            end = chunk
        return end

    def _checked(self, request: Request, body: Iterator[bytes]) -> Iterator[bytes]:
        """[12] The body, and a Refusal at its end when it is not what its headers say."""
        said_md5 = request.headers.get("content-md5")
        said_sha256 = request.headers.get("x-amz-content-sha256", "")
        md5 = hashlib.md5(usedforsecurity=False) if said_md5 else None
        sha256 = hashlib.sha256() if _SHA256.fullmatch(said_sha256) else None
        for chunk in body:
            for digest in (md5, sha256):
                if digest:
                    digest.update(chunk)
            yield chunk
        with self._named("digests_match"):
            if md5 and said_md5 and md5.digest() != _md5_of(said_md5):
                raise Refusal(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
            if sha256 and sha256.hexdigest() != said_sha256:
                message = "The provided 'x-amz-content-sha256' header does not match what was computed."
                raise Refusal(400, "XAmzContentSHA256Mismatch", message)

    def _commit(self, request: Request, end: bytes, commit: ExitStack) -> None:
        """Take the key's lock where the order of writes matters, and ask the last rules."""
        if request.operation not in _ORDERED:
            return
        commit.enter_context(self._state.commit_lock(request.path))
        conditional = "if-match" in request.headers or "if-none-match" in request.headers
        etag = self._server.etag(request.bucket, request.key) if conditional else None
        for rule in COMMIT_RULES:
            try:
                with self._named(rule.__name__):
                    rule(request, self._state, etag, end)
            except Refusal as refusal:
                if refusal.status == 412 and request.operation is Operation.COMPLETE_UPLOAD:
                    self._end_upload(request.bucket, request.key, request.upload)
                raise

    def _expect_open(self, request: Request, answer: Answer) -> None:
        """Where the upload ended meanwhile, or never was, moto fails with 500."""
        upload = self._state.upload(request.upload) if request.upload else None
        if request.upload and answer.status >= 500 and (not upload or upload.closed):
            raise Refusal(404, "NoSuchUpload", "The specified multipart upload does not exist.")

    def _remember(self, request: Request, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            return
        if request.operation is Operation.CREATE_UPLOAD:
            whole = b"".join(answer.chunks)
            answer.chunks = iter((whole,))
            self._state.begin_upload(_upload_id(whole), request.bucket, request.key)
        elif request.operation is Operation.UPLOAD_PART:
            self._state.add_part(request.upload, request.part or 0, request.length or 0)
        elif request.operation in (Operation.COMPLETE_UPLOAD, Operation.ABORT_UPLOAD):
            self._state.close_upload(request.upload)

    def _end_upload(self, bucket: str, key: str, upload: str) -> None:
        self._state.close_upload(upload)
        self._server.abort(bucket, key, upload)

    @contextmanager
    def _named(self, rule: str) -> Iterator[None]:
        """Put the rule's name on its refusal; drop the refusal of a rule that the test does without."""
        try:
            yield
        except Refusal as refusal:
            if rule not in self._without:
                refusal.rule = rule
                raise


def _md5_of(content_md5: str) -> bytes:
    try:
        return base64.b64decode(content_md5, validate=True)
    except binascii.Error:
        raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified is not valid.") from None


def _upload_id(answer: bytes) -> str:
    found = (one.text for one in ElementTree.fromstring(answer).iter() if one.tag.rpartition("}")[2] == "UploadId")
    return next(found, None) or ""
