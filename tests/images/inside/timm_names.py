"""What a pattern stands for in timm, and what is said of weights that are not on the hub."""

import json
from pathlib import Path

from weightdock.artifact import Framework, ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError
from weightdock.origins.timm import Timm

timm = Timm()
asked = ModelSpec(ModelId(Framework("timm"), "gcvit_base.in1k"), "pth", "", "", "")
try:
    timm.lock(asked, Path("/tmp"))  # nothing is written
except ConfigurationError as error:
    refused = error.what
print(json.dumps([timm.names("convnext_tiny*")[:2], timm.names("gcvit_*"), len(timm.names("*")), refused]))  # noqa: T201
