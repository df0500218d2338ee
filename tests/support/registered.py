"""The eight models that are registered."""

from __future__ import annotations

from weightdock.artifact import Framework, ModelId
from weightdock.catalogue import ModelSpec

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
