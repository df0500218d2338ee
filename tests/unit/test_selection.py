"""Which models are meant: by name, glob and framework."""

from __future__ import annotations

import pytest

from support.registered import EIGHT
from weightdock import catalogue
from weightdock.artifact import Framework
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError

TIMMS = [spec.model.name for spec in EIGHT[:3]]

YOLOS = [spec.model.name for spec in EIGHT[3:]]


def _names(specs: tuple[ModelSpec, ...]) -> list[str]:
    return [str(spec.model) for spec in specs]


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
            ", ".join(TIMMS),
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
    where = ", ".join(chosen) if kind == "model" and chosen else "the catalogue"
    assert str(refused.value) == (
        f"error: {what}\ncause: no {kind} of {where} has that name\nnext: nearest names: {nearest}"
    )
