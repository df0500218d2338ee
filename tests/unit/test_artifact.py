"""Names and digests: what is one, and that none climbs out of a folder or a prefix."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weightdock.artifact import Digest, Framework, ModelId, Provenance, file_name, object_key
from weightdock.errors import ConfigurationError, ExitCode, IntegrityError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", fullmatch=True)
FRAMEWORKS = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
HOSTILE = st.text(max_size=300) | st.text(alphabet="./\\~a\0\n é%", max_size=12)
HEX = "0123456789abcdef" * 4

NO_NAMES = {
    "empty": "",
    "parent": "..",
    "climbing": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "deeper": "a/b",
    "backslash": "a\\b",
    "hidden": ".ssh",
    "an option": "-rf",
    "NUL": "a\0b",
    "newline at the end": "a\n",
    "space": "a b",
    "accent": "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "other alphabet": "\N{CYRILLIC SMALL LETTER A}",
    "fullwidth digit": "\N{FULLWIDTH DIGIT ONE}",
    "too long": "a" * 201,
}


@given(FRAMEWORKS, NAMES)
def test_a_model_name_reads_back_from_what_it_prints(framework: str, name: str) -> None:
    model = ModelId(Framework(framework), name)
    assert ModelId.parse(str(model)) == model
    assert str(model) == f"{framework}/{name}"


@given(HOSTILE, HOSTILE, HOSTILE)
@example("timm", "..", "pth")
@example("..", "a", "pth")
@example("timm", "a", "/../../x")
def test_whatever_is_given_either_is_refused_or_stays_under_its_prefix(
    framework: str, name: str, extension: str
) -> None:
    try:
        key = object_key("models/pretrained", ModelId(Framework(framework), name), extension)
    except ConfigurationError:
        return
    path = PurePosixPath(key)
    assert path.parts == ("models", "pretrained", framework, f"{name}.{extension}")
    assert key.isascii()
    assert key.isprintable()
    assert len(key) < 1024  # the longest key of S3


@pytest.mark.parametrize("name", NO_NAMES.values(), ids=NO_NAMES.keys())
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        ModelId(Framework("timm"), name)


@pytest.mark.parametrize(
    "framework", ["", "..", "Timm", "_timm", "1timm", "ti-mm", "ti.mm", "tïmm", "timm\n", "timm/", "a" * 65]
)
def test_what_is_no_framework_is_refused(framework: str) -> None:
    with pytest.raises(ConfigurationError):
        ModelId(Framework(framework), "convnext_tiny")


def test_a_refused_name_says_what_a_name_is() -> None:
    with pytest.raises(ConfigurationError) as refused:
        ModelId.parse("convnext_tiny")
    assert str(refused.value) == (
        "error: convnext_tiny is not a model name\n"
        "cause: a name is letters, digits, '.', '_' and '-', after a framework and one '/'\n"
        "next: name it as in timm/convnext_tiny; weightdock/catalogue has the names that exist"
    )


def test_models_sort_by_framework_and_name() -> None:
    names = ["ultralytics/a", "timm/b", "timm/a"]
    assert [str(model) for model in sorted(map(ModelId.parse, names))] == ["timm/a", "timm/b", "ultralytics/a"]


def test_a_models_file_and_object_have_one_name() -> None:
    model = ModelId.parse("timm/tf_efficientnetv2_s.in1k")
    assert file_name(model, "pth") == "tf_efficientnetv2_s.in1k.pth"
    assert object_key("models/pretrained", model, "pth") == "models/pretrained/timm/tf_efficientnetv2_s.in1k.pth"


@pytest.mark.parametrize("extension", ["", ".pth", "PTH", "p th", "pth/", "../x", "p" * 17, "pt\n"])
def test_what_is_no_extension_is_refused(extension: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        file_name(ModelId.parse("timm/convnext_tiny"), extension)
    assert str(refused.value) == (
        f"error: {extension!r} is not a file extension\n"
        "cause: an extension is lower-case letters and digits, without a dot\n"
        "next: mend `extension` in the models.toml of timm"
    )


@pytest.mark.parametrize("written", [HEX, f"sha256:{HEX}", HEX.upper(), f"sha256:{HEX.upper()}"])
def test_a_digest_is_read_in_every_way_that_it_is_written(written: str) -> None:
    digest = Digest.parse(written)
    assert (digest, str(digest), digest.short) == (Digest(HEX), HEX, "0123456789ab")


@pytest.mark.parametrize(
    "written",
    [
        "",
        HEX[:-1],
        f"{HEX}0",
        f"{HEX}\n",
        f"md5:{HEX}",
        f"sha256:sha256:{HEX}",
        "g" * 64,
        "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
    ],
)
def test_what_is_no_sha256_is_refused(written: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        Digest.parse(written)
    assert refused.value.exit_code is ExitCode.INTEGRITY


def test_a_refused_digest_is_shown_in_bounded_length() -> None:
    with pytest.raises(IntegrityError) as refused:
        Digest("x" * 10_000)
    assert str(refused.value) == (
        f"error: {'x' * 80!r} is not a sha256\n"
        "cause: a sha256 has 64 hexadecimal digits\n"
        "next: look at who wrote it: an origin, a lock file or a manifest"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://github.com/ultralytics/assets/releases/download/v8.4.0/yolo11n.pt", "github.com"),
        ("http://127.0.0.1:9001/timm/x", "127.0.0.1:9001"),
        ("https://[::1]:9001/timm/x", "[::1]:9001"),
        ("", ""),
    ],
)
def test_provenance_names_its_host(url: str, host: str) -> None:
    assert Provenance(url, "", "", "", {}).host == host


def test_a_mirrors_password_is_no_part_of_the_host_that_tables_show() -> None:
    assert Provenance("https://user:secret@mirror.example:8443/x", "", "", "", {}).host == "mirror.example:8443"
