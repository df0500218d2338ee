"""A page of a bucket's listing, as ListObjectsV2 gives it.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from weightdock.artifact import ObjectKey
from weightdock.store import StoredObject
from weightdock.store.refusals import Senseless


@dataclass(frozen=True)
class Page:
    """At most a thousand objects. ``next`` is what to ask the next page with; None: there is none."""

    objects: tuple[StoredObject, ...]
    next: str | None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Raise Senseless for what is no such page. Keys are URL-encoded in it, as XML cannot carry every one."""
        try:
            root = ElementTree.fromstring(body)  # noqa: S314  # expat refuses entities that grow, since 2.4.1
            if _name(root) != "ListBucketResult":
                raise Senseless(f"it answers a listing with {_name(root)[:80]}")
            found = tuple(_object({_name(field): field.text or "" for field in one}) for one in _all(root, "Contents"))
            goes_on = any(one.text == "true" for one in _all(root, "IsTruncated"))
            token = next((one.text for one in _all(root, "NextContinuationToken")), None)
            if goes_on and not token:
                raise Senseless("its listing goes on, and does not say where")
            return cls(found, token if goes_on else None)
        except (ElementTree.ParseError, KeyError, ValueError) as error:
            raise Senseless(f"its listing cannot be read: {error}") from error


def _all(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in root if _name(one) == name]


def _name(element: ElementTree.Element) -> str:
    """Without the namespace, which not every server writes."""
    return element.tag.rpartition("}")[2]


def _object(fields: dict[str, str]) -> StoredObject:
    return StoredObject(
        ObjectKey(unquote_plus(fields["Key"])),
        int(fields["Size"]),
        fields["ETag"],
        modified=datetime.fromisoformat(fields["LastModified"]).astimezone(UTC),
    )
