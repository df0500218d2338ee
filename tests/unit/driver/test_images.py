from __future__ import annotations

from weightdock import catalogue
from weightdock.artifact import Framework
from weightdock_driver import images
from weightdock_driver.images import Measured


def test_the_registry_has_an_uploader_per_framework_and_the_node_with_the_limits_of_the_readme() -> None:
    assert [(image.tagged(), image.limit_bytes) for image in images.registry(catalogue.frameworks())] == [
        ("weightdock/timm-uploader:latest", 800_000_000),
        ("weightdock/ultralytics-uploader:latest", 1_000_000_000),
        ("weightdock/node:latest", 220_000_000),
    ]


def test_a_new_framework_has_an_image_without_a_line_here() -> None:
    assert images.uploader(Framework("toy")).tagged("v2") == "weightdock/toy-uploader:v2"


def test_the_table_marks_only_what_is_above_its_limit() -> None:
    timm = images.uploader(Framework("timm"))
    measured = [Measured(timm, 800_000_001), Measured(images.NODE, 220_000_000)]
    assert [one.too_large for one in measured] == [True, False]
    assert images.table(measured) == (
        "IMAGE                         SIZE     LIMIT\n"
        "weightdock/timm-uploader  800.0 MB  800.0 MB  too large\n"
        "weightdock/node           220.0 MB  220.0 MB"
    )
