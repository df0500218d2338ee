"""One model as a path: the cache first, then the store, then, where it is allowed, the origin."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import weightdock
from support.command import environment
from support.memory_store import MemoryStore
from support.samples import PREFIX, TOY, content, digest, entry, files, key_of, spec, verified
from weightdock import catalogue
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.errors import ConfigurationError, ExitCode, IntegrityError, StoreError
from weightdock.events import Event
from weightdock.node.sources import Sources
from weightdock.store import ObjectStore, manifest
from weightdock.store.manifest import manifest_key
from weightdock.verify import verify

NAME = "toy/alpha"
KEY = key_of()


@dataclass
class Scene:
    """A node whose store is a dict; ``resolve`` is what a training script calls."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    store: MemoryStore = field(default_factory=MemoryStore)
    heard: list[Event] = field(default_factory=list)

    def set(self, **changed: str) -> None:
        for name, value in changed.items():
            self.monkeypatch.setenv(name, value)

    def resolve(self) -> Path:
        return weightdock.resolve(NAME, on_event=self.heard.append)

    @property
    def cache(self) -> Cache:
        return Cache(self.root)

    def fill_cache(self, weights: bytes | None = None) -> Path:
        with self.cache.partial(spec().model) as folder:
            return self.cache.publish(verified(folder / "x", weights=weights), "bin").path

    def keep(self, weights: bytes | None = None) -> None:
        self.store.keep(KEY, content("alpha") if weights is None else weights)
        manifest.publish(self.store, PREFIX, TOY, {"alpha": entry()})
        self.store.requests.clear()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    home = tmp_path / "catalogue"
    (home / "toy").mkdir(parents=True)
    (home / "toy" / "models.toml").write_text(
        'extension = "bin"\n[models.alpha]\ntask = "classify"\ndescription = "the toy"\n'
    )
    monkeypatch.setattr(catalogue.extension, "__defaults__", (home,))
    monkeypatch.setattr(catalogue.select, "__defaults__", ((), (), home))
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("AWS_", "WEIGHTDOCK_"))]:
        monkeypatch.delenv(name)
    scene = Scene(tmp_path / "cache", monkeypatch)

    def the_store(_sources: Sources) -> ObjectStore:
        return scene.store

    monkeypatch.setattr(Sources, "_store", the_store)
    scene.set(WEIGHTDOCK_CACHE=str(scene.root))
    return scene


def test_what_is_cached_is_given_without_a_request(scene: Scene) -> None:
    path = scene.fill_cache()
    assert scene.resolve() == path
    assert scene.store.requests == []
    assert [(event.state, event.note) for event in scene.heard] == [("skipped", "in the cache")]


def test_what_is_not_cached_comes_from_the_store_once(scene: Scene) -> None:
    scene.keep()
    path = scene.resolve()
    assert (path, path.read_bytes()) == (scene.root / "toy" / "alpha.bin", content("alpha"))
    assert scene.store.requests == [f"read_document {manifest_key(PREFIX, TOY)}", f"read_range {KEY}"]
    assert [event.state for event in scene.heard] == ["started", "progress", "done"]
    scene.store.requests.clear()
    assert scene.resolve() == path
    assert scene.store.requests == []


def test_offline_asks_nobody_and_says_what_is_missing(scene: Scene) -> None:
    scene.keep()
    scene.set(WEIGHTDOCK_OFFLINE="1", WEIGHTDOCK_ORIGIN="allow")
    with pytest.raises(StoreError) as refused:
        scene.resolve()
    assert str(refused.value) == (
        "error: toy/alpha is not in the cache\n"
        f"cause: WEIGHTDOCK_OFFLINE=1 forbids to ask R2; {scene.root}/toy/alpha.bin is not there, or changed\n"
        "next: unset WEIGHTDOCK_OFFLINE, or fill the cache beforehand: weightdock fetch"
    )
    assert scene.store.requests == []


def _touched(path: Path) -> None:
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _copied(path: Path) -> None:
    another = path.with_name("another")
    another.write_bytes(path.read_bytes())
    another.replace(path)


@pytest.mark.parametrize("change", [_touched, _copied])
@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_file_that_was_touched_or_copied_is_hashed_once_and_not_fetched(
    scene: Scene, change: Callable[[Path], None], offline: str
) -> None:
    scene.keep()
    change(scene.fill_cache())
    scene.set(WEIGHTDOCK_OFFLINE=offline)
    path = scene.resolve()
    assert scene.cache.find(spec().model, "bin"), "the receipt was not written anew"
    assert f"read_range {KEY}" not in scene.store.requests
    assert scene.resolve() == path


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_file_that_was_changed_is_never_given(scene: Scene, keep_times: bool) -> None:
    scene.keep()
    path = scene.fill_cache()
    status = path.stat()
    path.write_bytes(b"scribbled over, and longer")
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    scene.set(WEIGHTDOCK_OFFLINE="1")
    with pytest.raises(StoreError):
        scene.resolve()
    scene.set(WEIGHTDOCK_OFFLINE="0")
    assert scene.resolve().read_bytes() == content("alpha")


def test_a_file_without_a_receipt_is_taken_if_it_is_what_the_manifest_says(scene: Scene) -> None:
    scene.keep()
    path = scene.root / "toy" / "alpha.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(content("alpha"))
    assert scene.resolve() == path
    assert f"read_range {KEY}" not in scene.store.requests


@pytest.mark.parametrize(
    ("bad", "what", "cause"),
    [
        (
            b"the weights of alphA",
            NAME,
            f"its sha256 is {digest(b'the weights of alphA')}, and the manifest says {digest(content('alpha'))}",
        ),
        (b"the weights", KEY, "its size is 11 bytes, and the manifest says 20"),
        (b"the weights of alpha and more", KEY, "its size is 29 bytes, and the manifest says 20"),
    ],
    ids=["a flipped bit", "truncated", "longer"],
)
def test_a_corrupt_object_is_refused_and_named_and_nothing_is_kept(
    scene: Scene, bad: bytes, what: str, cause: str
) -> None:
    scene.keep(bad)
    with pytest.raises(IntegrityError) as refused:
        scene.resolve()
    assert (refused.value.what, refused.value.cause) == (f"{what} is not what it should be", cause)
    assert refused.value.exit_code is ExitCode.INTEGRITY
    assert files(scene.root) == set()


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (None, "toy/alpha is not in the store"),
        (b"{", f"{manifest_key(PREFIX, TOY)} is malformed"),
        (b'{"schema": 99}', f"{manifest_key(PREFIX, TOY)} has schema 99"),
    ],
    ids=["missing", "malformed", "newer"],
)
def test_a_manifest_that_says_nothing_is_exit_5_and_says_what_to_run(
    scene: Scene, document: bytes | None, what: str
) -> None:
    if document is not None:
        scene.store.keep(manifest_key(PREFIX, TOY), document)
    with pytest.raises(StoreError) as refused:
        scene.resolve()
    assert (refused.value.exit_code, refused.value.what) == (ExitCode.STORE, what)
    assert any(word in refused.value.next for word in ("make upload/toy", "weightdock upload", "update weightdock"))


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", f"{PREFIX}/toy/../alpha.bin", f"{PREFIX}/toy/alpha"]
)
def test_a_manifest_that_names_another_place_is_refused(scene: Scene, key: str) -> None:
    scene.keep()
    text = scene.store.contents()[manifest_key(PREFIX, TOY)].replace(KEY.encode(), key.encode())
    scene.store.keep(manifest_key(PREFIX, TOY), text)
    with pytest.raises(StoreError) as refused:
        scene.resolve()
    assert refused.value.what == f"{manifest_key(PREFIX, TOY)} is malformed"
    assert files(scene.root) == set()


@pytest.mark.parametrize("honest", [False, True], ids=["the object is small", "the object is as large"])
def test_a_gigantic_size_is_refused_before_a_byte_is_written(scene: Scene, honest: bool) -> None:
    scene.keep()
    size = 10**18
    text = scene.store.contents()[manifest_key(PREFIX, TOY)].replace(b'"size": 20', f'"size": {size}'.encode())
    scene.store.keep(manifest_key(PREFIX, TOY), text)
    if honest:
        scene.store.pretend_size(KEY, size)
    with pytest.raises(StoreError) as refused:
        scene.resolve()
    assert refused.value.what == f"the disk of {scene.root} has no room"
    assert f"read_range {KEY}" not in scene.store.requests
    assert files(scene.root) == set()


@pytest.mark.parametrize(
    ("name", "next"),
    [
        ("toi/alpha", "nearest names: toy"),
        ("alpha", "weightdock upload --dry-run lists the names that exist"),
        ("toy/../alpha", "weightdock upload --dry-run lists the names that exist"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_way_on(scene: Scene, name: str, next: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        weightdock.resolve(name)
    assert refused.value.next == next
    assert scene.store.requests == []


def test_a_misspelt_model_is_told_with_the_nearest_and_one_that_only_the_manifest_knows_is_given(scene: Scene) -> None:
    scene.keep()
    with pytest.raises(ConfigurationError) as refused:
        weightdock.resolve("toy/alhpa")
    assert (refused.value.what, refused.value.next) == (
        "unknown model 'toy/alhpa'",
        "nearest names: toy/alpha, alpha",
    )
    scene.store.keep(key_of("beta"), content("beta"))
    manifest.publish(scene.store, PREFIX, TOY, {"beta": entry("beta")})
    assert weightdock.resolve("toy/beta").read_bytes() == content("beta")


def test_a_cache_that_cannot_be_written_is_exit_2(scene: Scene) -> None:
    scene.keep()
    scene.root.write_text("no folder")
    with pytest.raises(ConfigurationError) as refused:
        scene.resolve()
    assert refused.value.what == f"the cache {scene.root} cannot be written"


def test_resolving_from_the_cache_takes_less_than_a_millisecond_and_no_boto3(scene: Scene) -> None:
    scene.fill_cache()
    scene.resolve()
    taken = []
    for _ in range(200):
        began = time.perf_counter()
        weightdock.resolve(NAME)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.001


def test_a_training_script_that_finds_its_model_imports_neither_boto3_nor_click(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    model = ModelId.parse("timm/convnext_tiny")
    with cache.partial(model) as folder:
        (folder / "x").write_bytes(b"weights")
        cache.publish(verify(model, folder / "x", []), "pth")
    script = (
        "import sys, weightdock\n"
        "print(weightdock.resolve('timm/convnext_tiny'))\n"
        "print(*sorted({'boto3', 'botocore', 'click', 'dotenv', 'torch', 'ssl'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment({"WEIGHTDOCK_CACHE": str(cache.root)}),
    )
    assert ran.stdout == f"{cache.root}/timm/convnext_tiny.pth\n\n"
