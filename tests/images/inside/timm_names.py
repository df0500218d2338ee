"""What a pattern stands for in timm, and what is said of weights that are not on the hub."""

import json
from pathlib import Path

from weightdock.artifact import Framework, ModelId
from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError
from weightdock.origins.timm import Timm

timm, refused = Timm(), []
for name in ("gcvit_base.in1k", "convnext_tiny.in12k_ft_in1kk", "convnext_tinny"):
    try:
        timm.lock(ModelSpec(ModelId(Framework("timm"), name), "pth", "", "", ""), Path("/tmp"))  # nothing is written
    except ConfigurationError as error:
        refused.append([error.what, error.next])
print(json.dumps([timm.names("convnext_tiny*")[:2], timm.names("gcvit_*"), len(timm.names("*")), refused]))  # noqa: T201
