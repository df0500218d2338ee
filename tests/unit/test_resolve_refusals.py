"""What a resolve refuses: objects, manifests, names and caches that are not what they should be."""

from __future__ import annotations

import pytest

import weightdock
from support.resolve_scene import KEY, NAME, Scene
from support.samples import PREFIX, TOY, content, digest, entry, files, key_of
from weightdock.errors import ConfigurationError, DiskError, ExitCode, IntegrityError, StoreError
from weightdock.store import manifest
from weightdock.store.manifest import manifest_key


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
    resolving: Scene, bad: bytes, what: str, cause: str
) -> None:
    resolving.keep(bad)
    with pytest.raises(IntegrityError) as refused:
        resolving.resolve()
    assert (refused.value.what, refused.value.cause) == (f"{what} is not what it should be", cause)
    assert refused.value.exit_code is ExitCode.INTEGRITY
    assert files(resolving.root) == set()


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
    resolving: Scene, document: bytes | None, what: str
) -> None:
    if document is not None:
        resolving.store.keep(manifest_key(PREFIX, TOY), document)
    with pytest.raises(StoreError) as refused:
        resolving.resolve()
    assert (refused.value.exit_code, refused.value.what) == (ExitCode.STORE, what)
    assert any(word in refused.value.next for word in ("make upload/toy", "weightdock upload", "update weightdock"))
    if document is None:  # or bucket and prefix are those of another place
        assert refused.value.cause == f"there is no {PREFIX}/toy/manifest.json in the bucket"
        assert "WEIGHTDOCK_PREFIX" in refused.value.next


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "/etc/passwd", f"{PREFIX}/toy/../alpha.bin", f"{PREFIX}/toy/alpha"]
)
def test_a_manifest_that_names_another_place_is_refused(resolving: Scene, key: str) -> None:
    resolving.keep()
    text = resolving.store.contents()[manifest_key(PREFIX, TOY)].replace(KEY.encode(), key.encode())
    resolving.store.keep(manifest_key(PREFIX, TOY), text)
    with pytest.raises(StoreError) as refused:
        resolving.resolve()
    assert refused.value.what == f"{manifest_key(PREFIX, TOY)} is malformed"
    assert files(resolving.root) == set()


@pytest.mark.parametrize("honest", [False, True], ids=["the object is small", "the object is as large"])
def test_a_gigantic_size_is_refused_before_a_byte_is_written(resolving: Scene, honest: bool) -> None:
    resolving.keep()
    size = 4 << 40
    text = resolving.store.contents()[manifest_key(PREFIX, TOY)].replace(b'"size": 20', f'"size": {size}'.encode())
    resolving.store.keep(manifest_key(PREFIX, TOY), text)
    if honest:
        resolving.store.pretend_size(KEY, size)
    with pytest.raises(StoreError) as refused:
        resolving.resolve()
    assert refused.value.what == f"the disk of {resolving.root} has no room"
    assert f"read_range {KEY}" not in resolving.store.requests
    assert files(resolving.root) == set()


@pytest.mark.parametrize(
    ("name", "next"),
    [
        ("toi/alpha", "nearest names: toy"),
        ("alhpa", "nearest names: toy/alpha"),
        ("", "nearest names: toy/alpha"),
        (
            "toy/../alpha",
            "name it as in timm/convnext_tiny; weightdock/catalogue has the names that exist",
        ),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_way_on(resolving: Scene, name: str, next: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        weightdock.resolve(name)
    assert refused.value.next == next
    assert resolving.store.requests == []


def test_a_misspelt_model_is_told_with_the_nearest_and_one_that_only_the_manifest_knows_is_given(
    resolving: Scene,
) -> None:
    resolving.keep()
    with pytest.raises(ConfigurationError) as refused:
        weightdock.resolve("toy/alhpa")
    assert (refused.value.what, refused.value.next) == (
        "unknown model 'toy/alhpa'",
        "nearest names: toy/alpha",
    )
    resolving.store.keep(key_of("beta"), content("beta"))
    manifest.publish(resolving.store, PREFIX, TOY, {"beta": entry("beta")})
    assert weightdock.resolve("toy/beta").read_bytes() == content("beta")


def test_what_is_too_little_here_does_not_send_a_node_to_the_origin(resolving: Scene) -> None:
    resolving.keep()
    resolving.set(WEIGHTDOCK_ORIGIN="allow", WEIGHTDOCK_CACHE_BYTES="5")
    with pytest.raises(DiskError) as refused:
        resolving.resolve()
    assert refused.value.what == f"the cache {resolving.root} has no room under its cap"


def test_a_cache_that_cannot_be_written_is_exit_2(resolving: Scene) -> None:
    resolving.keep()
    resolving.root.write_text("no folder")
    with pytest.raises(ConfigurationError) as refused:
        resolving.resolve()
    assert refused.value.what == f"the cache {resolving.root} cannot be written"
