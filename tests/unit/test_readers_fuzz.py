"""Whatever stands in a manifest, a catalogue or a lock: values or our own error, soon, and in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, entry
from weightdock.artifact import ModelId
from weightdock.catalogue import lock, models_file
from weightdock.catalogue.lock import Locked
from weightdock.errors import ConfigurationError, StoreError, WeightdockError
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key

_SECONDS = 5
_MEMORY_BYTES = 64 * 1024 * 1024
_DEEP = 100_000


def _manifest() -> bytes:
    store = MemoryStore()
    manifest.publish(store, PREFIX, TOY, {"alpha": entry("alpha"), "beta": entry("beta")})
    return store.contents()[manifest_key(PREFIX, TOY)]


def _lock() -> bytes:
    one = Locked(ModelId(TOY, "alpha"), "", "https://origin.example/a", "r1", 1, digest(content("alpha")), "MIT", {})
    return lock.render([one]).encode()


def read_manifest(_folder: Path, text: bytes) -> None:
    store = MemoryStore()
    store.write_document(manifest_key(PREFIX, TOY), text, None)
    manifest.read(store, PREFIX, TOY)


def read_models(folder: Path, text: bytes) -> None:
    (folder / TOY).mkdir(exist_ok=True)
    (folder / TOY / "models.toml").write_bytes(text)
    models_file.read(TOY, folder)


def read_lock(folder: Path, text: bytes) -> None:
    (folder / TOY).mkdir(exist_ok=True)
    (folder / TOY / "models.lock").write_bytes(text)
    lock.read(TOY, folder)


Reader = Callable[[Path, bytes], None]
MODELS = b'extension = "bin"\n[models.alpha]\ntask = "classify"\ndescription = "a toy"\n["models"."b*"]\ntask = "x"\n'
READERS: dict[str, tuple[Reader, bytes, type[WeightdockError]]] = {
    "manifest": (read_manifest, _manifest(), StoreError),
    "models.toml": (read_models, MODELS, ConfigurationError),
    "models.lock": (read_lock, _lock(), ConfigurationError),
}


@st.composite
def changed(draw: st.DrawFn, genuine: bytes) -> bytes:
    """``genuine`` with a few places changed, cut, doubled or filled from elsewhere; or something else altogether."""
    text = bytearray(genuine)
    for _ in range(draw(st.integers(1, 4))):
        at, count = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
        text[at : at + count] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.text(max_size=8).map(lambda word: word.encode("utf-8", "surrogatepass")),
                st.sampled_from(
                    [b"{", b"[", b'"', b"\\", b"null", b"1e999", b"-1", b"9" * 5000, b"[[a]]", b"\x00", b"."]
                ),
                st.just(bytes(text[at : at + count]) * 3),
            )
        )
    return draw(st.sampled_from([bytes(text), bytes(text), draw(st.binary(max_size=200))]))


def ends_as_it_should(reader: Reader, folder: Path, text: bytes, error: type[WeightdockError]) -> None:
    started, refused = time.monotonic(), None
    try:
        reader(folder, text)
    except error as one:
        refused = one
    assert time.monotonic() - started < _SECONDS
    assert refused is None or (refused.what and refused.cause and refused.next and len(str(refused)) < 2000)


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    reader, genuine, error = READERS[name]
    ends_as_it_should(reader, tmp_path_factory.getbasetemp(), data.draw(changed(genuine)), error)


BOMBS = {
    "deep lists": b"[" * _DEEP,
    "deep objects": b'{"a":' * _DEEP,
    "deep TOML": b"a = " + b"[" * _DEEP,
    "deep tables": b"[" + b"a." * (_DEEP // 2) + b"a]\n",
    "deep inline tables": b"a = " + b"{a=" * _DEEP,
    "a long number": b'{"schema": ' + b"9" * 1_000_000 + b"}",
    "a long TOML number": b"schema = " + b"9" * 300_000,
    "a long exponent": b'{"schema": 1e' + b"9" * 1_000_000 + b"}",
    "a long text": b'{"schema": 1, "models": "' + b"a" * 4_000_000 + b'"}',
    "many models": json.dumps({"schema": 1, "models": {f"m{n}": {} for n in range(50_000)}}).encode(),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
@pytest.mark.parametrize("name", READERS)
def test_a_bomb_costs_neither_memory_nor_time(tmp_path: Path, name: str, bomb: bytes) -> None:
    reader, _, error = READERS[name]
    tracemalloc.start()
    try:
        with pytest.raises(error):
            reader(tmp_path, bomb)
        assert tracemalloc.get_traced_memory()[1] < _MEMORY_BYTES
    finally:
        tracemalloc.stop()
