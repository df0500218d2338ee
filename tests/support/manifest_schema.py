"""The manifest's JSON schema, its reader, and a document to change."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our requirements

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, entry
from weightdock import store
from weightdock.artifact import Framework
from weightdock.errors import StoreError
from weightdock.store import manifest
from weightdock.store.manifest import Entry, manifest_key

KEY = manifest_key(PREFIX, TOY)

SCHEMA: dict[str, Any] = json.loads((files(store) / "manifest.schema.json").read_text(encoding="utf-8"))

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def problems(document: object) -> list[str]:
    return [f"{problem.json_path}: {problem.message}" for problem in VALIDATOR.iter_errors(document)]


def is_read(document: object) -> bool:
    """Whether the reader takes it."""
    kept = MemoryStore()
    kept.keep(KEY, json.dumps(document).encode())
    try:
        manifest.read(kept, PREFIX, TOY)
    except StoreError:
        return False
    return True


def published_document(prefix: str, framework: Framework, entries: dict[str, Entry]) -> Any:
    kept = MemoryStore()
    manifest.publish(kept, prefix, framework, entries)
    return json.loads(kept.contents()[manifest_key(prefix, framework)])


DOCUMENT = published_document(PREFIX, TOY, {"alpha": entry("alpha"), "beta.v2": entry("beta.v2")})


def changed_document(**fields: object) -> Any:
    """With these fields of one model; None removes one."""
    document = copy.deepcopy(DOCUMENT)
    model = document["models"]["alpha"]
    for name, value in fields.items():
        if value is None:
            del model[name]
        else:
            model[name] = value
    return document
