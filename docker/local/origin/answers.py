"""What the server is going to say, as a value that a test can compare."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import shelf


@dataclass(frozen=True)
class Answer:
    """A status, headers, and either a file or a small body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    item: shelf.Item | None = None
    body: bytes = b""


def of_text(status: int, text: str, **headers: str) -> Answer:
    """Answer with a line of text; a header's name is written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = {"Content-Type": "text/plain; charset=utf-8"}
    return Answer(status, {**content, **named}, None, text.encode())


def of_json(status: int, document: object) -> Answer:
    """Answer with a JSON document."""
    content = {"Content-Type": "application/json; charset=utf-8"}
    return Answer(status, content, None, json.dumps(document).encode())


def of_file(item: shelf.Item, **headers: str) -> Answer:
    """Answer with a file; a header's name is written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    return Answer(200, {**content, **named}, item)
