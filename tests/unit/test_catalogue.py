"""Catalogues as they are read: the eight models, and what a malformed models.toml is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lock_samples import home_of
from support.registered import EIGHT, TIMM, TOY, ULTRALYTICS
from weightdock import catalogue
from weightdock.artifact import ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError

KEYS = [
    "models/pretrained/timm/tf_efficientnetv2_s.in1k.pth",
    "models/pretrained/timm/convnext_tiny.pth",
    "models/pretrained/timm/vit_base_patch16_224.pth",
    "models/pretrained/ultralytics/yolo11n.pt",
    "models/pretrained/ultralytics/yolo11n-seg.pt",
    "models/pretrained/ultralytics/yolo11n-pose.pt",
    "models/pretrained/ultralytics/yolo_world_v2_s.pt",
    "models/pretrained/ultralytics/sam2_t.pt",
]

GOOD = """\
# The asset of alpha is described in its extension.
extension = "bin"

[models.alpha]
task = "classify"
description = "the first task"

[models."beta.v2"]
task = "detect"
description = "alpha and beta, an asset of ours" # alpha
asset = "b.bin"

[models.gamma-x]
task = "pose"
description = "the third"
"""

FIELDS = "one of task, description, asset"

NAME = "a name is letters, digits, '.', '_' and '-', after a framework and one '/'"

# What is changed in GOOD, the problem that is then named (with line and key), and what is said to be expected.
MALFORMED = {
    "TOML syntax": (
        "[models.gamma-x]",
        "[models.gamma-x",
        "Expected ']' at the end of a table declaration (at line 13, column 16)",
        "TOML",
    ),
    "a model twice": (
        "[models.gamma-x]",
        "[models.alpha]",
        "Cannot declare ('models', 'alpha') twice (at line 13, column 14)",
        "TOML",
    ),
    "unknown key at the top": (
        'extension = "bin"',
        'extension = "bin"\nlicence = "MIT"',
        "unknown key `licence` (line 3, key `licence`)",
        "`extension` and `[models.<name>]`",
    ),
    "unknown key of a model": (
        'task = "pose"',
        'tusk = "pose"',
        "unknown key `tusk` (line 14, key `tusk`)",
        FIELDS,
    ),
    "unknown key that a value above names": (
        'description = "the third"',
        'first = "the third"',
        "unknown key `first` (line 15, key `first`)",
        FIELDS,
    ),
    "missing extension": (
        'extension = "bin"',
        "",
        "`extension` is missing or no string (line 1, key `extension`)",
        'extension = "pt"',
    ),
    "extension of a wrong type": (
        'extension = "bin"',
        "extension = 1",
        "`extension` is missing or no string (line 2, key `extension`)",
        'extension = "pt"',
    ),
    "extension that is none": (
        'extension = "bin"',
        'extension = "../bin"',
        "'../bin' is not a file extension (line 2, key `extension`)",
        "an extension is lower-case letters and digits, without a dot",
    ),
    "missing key of the first model": (
        'task = "classify"\n',
        "",
        "`task` is missing (line 4, key `alpha`)",
        'task = "..."',
    ),
    "missing key of a quoted model": (
        'task = "detect"\n',
        "",
        "`task` is missing (line 8, key `beta.v2`)",
        'task = "..."',
    ),
    "missing key of the last model": (
        'description = "the third"\n',
        "",
        "`description` is missing (line 13, key `gamma-x`)",
        'description = "..."',
    ),
    "task of a wrong type": (
        'task = "pose"',
        "task = 3",
        "`task` is not a string (line 14, key `task`)",
        'task = "..."',
    ),
    "asset of a wrong type": (
        'asset = "b.bin"',
        'asset = ["b.bin"]',
        "`asset` is not a string (line 11, key `asset`)",
        'asset = "..."',
    ),
    "empty description": (
        'description = "the third"',
        'description = ""',
        "`description` is not a string (line 15, key `description`)",
        'description = "..."',
    ),
    "bad name": (
        '[models."beta.v2"]',
        '[models."../beta"]',
        "toy/../beta is not a model name (line 8, key `../beta`)",
        NAME,
    ),
    "a model that is no table": (
        '[models.gamma-x]\ntask = "pose"\ndescription = "the third"',
        '[models]\ngamma-x = "pose"',
        "`gamma-x` is not a table (line 14, key `gamma-x`)",
        "[models.gamma-x]",
    ),
}


def _with(home: Path, text: str | bytes, framework: str = "toy") -> Path:
    path = home / framework / "models.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_catalogues_hold_these_eight_models() -> None:
    assert catalogue.frameworks() == (TIMM, ULTRALYTICS)
    assert catalogue.select() == EIGHT
    assert [spec.key("models/pretrained") for spec in EIGHT] == KEYS
    assert [spec.file_name for spec in EIGHT] == [Path(key).name for key in KEYS]


def test_a_framework_is_a_folder_with_a_models_toml(tmp_path: Path) -> None:
    _with(tmp_path, GOOD)
    (tmp_path / "another").mkdir()
    (tmp_path / "models.toml").write_text("")
    assert catalogue.frameworks(tmp_path) == (TOY,)
    assert catalogue.load(TOY, tmp_path) == (
        ModelSpec(ModelId(TOY, "alpha"), "bin", "", "classify", "the first task"),
        ModelSpec(ModelId(TOY, "beta.v2"), "bin", "b.bin", "detect", "alpha and beta, an asset of ours"),
        ModelSpec(ModelId(TOY, "gamma-x"), "bin", "", "pose", "the third"),
    )


@pytest.mark.parametrize(("good", "bad", "problem", "expected"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_catalogue_is_refused_with_file_line_and_key(
    tmp_path: Path, good: str, bad: str, problem: str, expected: str
) -> None:
    assert GOOD.count(good)
    path = _with(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, tmp_path)
    assert str(refused.value) == f"error: {path} is malformed\ncause: {problem}\nnext: mend it; expected {expected}"


@pytest.mark.parametrize("models", ["", "[models]", "models = 3", "models = []"])
def test_a_catalogue_without_models_is_refused(tmp_path: Path, models: str) -> None:
    path = _with(tmp_path, f'extension = "bin"\n{models}\n')
    line = 2 if models else 1
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, tmp_path)
    assert str(refused.value) == (
        f"error: {path} is malformed\n"
        f"cause: `models` is missing or empty (line {line}, key `models`)\n"
        "next: mend it; expected one [models.<name>] per model"
    )


def test_a_catalogue_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = _with(tmp_path, b'extension = "\xff"\n')
    with pytest.raises(ConfigurationError) as refused:
        catalogue.load(TOY, tmp_path)
    assert refused.value.what == f"{path} is malformed"


@pytest.mark.parametrize("name", ["models.toml", "models.lock"])
def test_a_fingerprint_is_of_both_files_whatever_ends_their_lines(tmp_path: Path, name: str) -> None:
    home = home_of(tmp_path, locked='{"schema": 1,\n "models": {}}\n')
    before, file = catalogue.fingerprint([TOY], home), home / "toy" / name
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert catalogue.fingerprint([TOY], home) == before
    file.write_bytes(file.read_bytes() + b" ")
    assert catalogue.fingerprint([TOY], home) != before
