"""A page of a listing, as servers write it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support.scripted_server import Answer, scripted
from support.scripted_store import store_at
from weightdock.artifact import ObjectKey
from weightdock.errors import StoreError
from weightdock.store import StoredObject
from weightdock.store.listing import Page
from weightdock.store.refusals import Senseless

_NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_OBJECT = (
    "<Contents><Key>models/a%20b+c%2B%26.pt</Key><LastModified>2026-11-22T10:00:00.000Z</LastModified>"
    "<ETag>&quot;e&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
FOUND = StoredObject(ObjectKey("models/a b c+&.pt"), 7, '"e"', modified=datetime(2026, 11, 22, 10, tzinfo=UTC))


@pytest.mark.parametrize("namespace", ["", _NAMESPACE])
def test_a_page_has_objects_and_says_whether_there_are_more(namespace: str) -> None:
    last = f"<ListBucketResult{namespace}><IsTruncated>false</IsTruncated>{_OBJECT}</ListBucketResult>"
    assert Page.read(last.encode()) == Page((FOUND,), None)
    token = last.replace("<IsTruncated>", "<NextContinuationToken>to/ken=</NextContinuationToken><IsTruncated>")
    assert Page.read(token.encode()) == Page((FOUND,), None)
    assert Page.read(token.replace("false", "true").encode()) == Page((FOUND,), "to/ken=")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<ListBucketResult>",
        "<html><body>Welcome</body></html>",
        f"<ListBucketResult>{_OBJECT.replace('<Size>7', '<Size>seven')}</ListBucketResult>",
        f"<ListBucketResult>{_OBJECT.replace('2026-11', 'some day')}</ListBucketResult>",
        f"<ListBucketResult>{_OBJECT.replace('Key>', 'Name>')}</ListBucketResult>",
        f"<ListBucketResult><IsTruncated>true</IsTruncated>{_OBJECT}</ListBucketResult>",
    ],
)
def test_what_is_no_page_is_said_so(body: str) -> None:
    with pytest.raises(Senseless):
        Page.read(body.encode())


def test_a_listing_that_gives_the_same_page_again_ends() -> None:
    again = "<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>"
    page = Answer(body=f"<ListBucketResult>{again}{_OBJECT}</ListBucketResult>".encode())
    with scripted(*[page] * 3) as script, pytest.raises(StoreError) as met:
        store_at(script.url).objects("models/")
    assert "its listing has no end" in met.value.cause
    assert len(script.requests) == 2
