"""The catalogues: what is in them, what is refused of them, and how models are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from weightdock import catalogue
from weightdock.artifact import Framework, ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError

TIMM, ULTRALYTICS, TOY = Framework("timm"), Framework("ultralytics"), Framework("toy")

EIGHT = (
    ModelSpec(ModelId(TIMM, "tf_efficientnetv2_s.in1k"), "pth", "", "classify", "EfficientNetV2 small, ImageNet-1k"),
    ModelSpec(ModelId(TIMM, "convnext_tiny"), "pth", "", "classify", "ConvNeXt tiny, ImageNet-12k, tuned on 1k"),
    ModelSpec(
        ModelId(TIMM, "vit_base_patch16_224"),
        "pth",
        "",
        "classify",
        "ViT base, 16 px patches, ImageNet-21k, tuned on 1k",
    ),
    ModelSpec(ModelId(ULTRALYTICS, "yolo11n"), "pt", "", "detect", "YOLO11 nano, 80 COCO classes"),
    ModelSpec(ModelId(ULTRALYTICS, "yolo11n-seg"), "pt", "", "segment", "YOLO11 nano with instance masks"),
    ModelSpec(ModelId(ULTRALYTICS, "yolo11n-pose"), "pt", "", "pose", "YOLO11 nano with 17 body keypoints"),
    ModelSpec(
        ModelId(ULTRALYTICS, "yolo_world_v2_s"),
        "pt",
        "yolov8s-worldv2.pt",
        "detect",
        "YOLO-World v2 small, open vocabulary",
    ),
    ModelSpec(ModelId(ULTRALYTICS, "sam2_t"), "pt", "", "segment", "Segment Anything 2 tiny, prompted masks"),
)
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

TIMMS = [spec.model.name for spec in EIGHT[:3]]
YOLOS = [spec.model.name for spec in EIGHT[3:]]

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


def _names(specs: tuple[ModelSpec, ...]) -> list[str]:
    return [str(spec.model) for spec in specs]


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


@pytest.mark.parametrize(
    ("patterns", "chosen", "names"),
    [
        ((), ("timm",), ["timm/tf_efficientnetv2_s.in1k", "timm/convnext_tiny", "timm/vit_base_patch16_224"]),
        (("yolo11n",), (), ["ultralytics/yolo11n"]),
        (("ultralytics/yolo11n",), (), ["ultralytics/yolo11n"]),
        (("yolo11n-*",), (), ["ultralytics/yolo11n-seg", "ultralytics/yolo11n-pose"]),
        (("*_tiny", "sam2_?"), (), ["timm/convnext_tiny", "ultralytics/sam2_t"]),
        (("sam2_t", "convnext_tiny", "convnext_*"), (), ["timm/convnext_tiny", "ultralytics/sam2_t"]),
        (
            ("timm/*",),
            ("timm", "ultralytics"),
            ["timm/tf_efficientnetv2_s.in1k", "timm/convnext_tiny", "timm/vit_base_patch16_224"],
        ),
        (("vit*", "yolo11n"), ("ultralytics", "timm"), ["timm/vit_base_patch16_224", "ultralytics/yolo11n"]),
        (("convnext_tiny",), ("timm", "timm"), ["timm/convnext_tiny"]),
    ],
    ids=repr,
)
def test_models_are_chosen_by_name_glob_and_framework_each_once_in_the_catalogues_order(
    patterns: tuple[str, ...], chosen: tuple[str, ...], names: list[str]
) -> None:
    assert _names(catalogue.select(patterns, tuple(map(Framework, chosen)))) == names


def test_names_are_looked_up_and_only_globs_are_compared_with_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def matches(pattern: str, _spec: catalogue.ModelSpec) -> bool:
        compared.append(pattern)
        return True

    monkeypatch.setattr(catalogue, "_matches", matches)
    assert _names(catalogue.select(("sam2_t", "timm/convnext_tiny"))) == ["timm/convnext_tiny", "ultralytics/sam2_t"]
    assert compared == []
    assert len(catalogue.select(("*",))) == 8
    assert compared == ["*"] * 8


@pytest.mark.parametrize(
    ("patterns", "chosen", "what", "nearest"),
    [
        (("yolo12n",), (), "unknown model 'yolo12n'", "yolo11n, yolo11n-seg, yolo11n-pose"),
        (
            ("ultralytics/yolo11",),
            (),
            "unknown model 'ultralytics/yolo11'",
            "ultralytics/yolo11n, ultralytics/yolo11n-seg, ultralytics/yolo11n-pose",
        ),
        (
            ("sam2_t", "SAM2_T"),
            (),
            "unknown model 'SAM2_T'",
            ", ".join([*TIMMS, *YOLOS]),
        ),
        (
            ("yolo11n",),
            ("timm",),
            "unknown model 'yolo11n'",
            ", ".join([*TIMMS, *(f"timm/{name}" for name in TIMMS)]),
        ),
        ((), ("tim",), "unknown framework 'tim'", "timm"),
        ((), ("../timm",), "unknown framework '../timm'", "timm"),
        ((), ("",), "unknown framework ''", "timm, ultralytics"),
    ],
    ids=repr,
)
def test_a_name_that_nothing_has_is_refused_with_the_nearest_ones(
    patterns: tuple[str, ...], chosen: tuple[str, ...], what: str, nearest: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        catalogue.select(patterns, tuple(map(Framework, chosen)))
    kind = what.split()[1]
    assert str(refused.value) == (
        f"error: {what}\ncause: no {kind} of the catalogue has that name\nnext: nearest names: {nearest}"
    )
