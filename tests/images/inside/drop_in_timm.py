"""The README's drop-in example for timm, with a checkpoint of random weights in the cache and no network."""

import subprocess
import sys
from pathlib import Path

import torch

import weightdock
from weightdock.artifact import ModelId
from weightdock.cache import Cache
from weightdock.origins.timm import library
from weightdock.verify import verify

timm = library()  # beside this image's CPU build of torch a plain `import timm` needs help
MODEL = ModelId.parse("timm/convnext_tiny")
made = timm.create_model("convnext_tiny")
cache = Cache(Path("/workspace/data/.cache/models"))
with cache.partial(MODEL) as folder:
    torch.save(made.state_dict(), folder / "made")
    cache.publish(verify(MODEL, folder / "made", []), "pth")

model = timm.create_model("convnext_tiny", checkpoint_path=weightdock.resolve("timm/convnext_tiny"))
assert all(torch.equal(one, model.state_dict()[name]) for name, one in made.state_dict().items())

home = "/workspace/data/.cache/torch"
command = ["weightdock", "resolve", "timm/convnext_tiny", "--layout", "hub", home]
path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
assert path == f"{home}/hub/checkpoints/convnext_tiny.pth", path
assert Path(path).samefile(cache.path(MODEL, "pth"))
torch.hub.set_dir(f"{home}/hub")
# The address cannot be reached: the file is where torch.hub looks first.
loaded = torch.hub.load_state_dict_from_url("http://127.0.0.1:1/convnext_tiny.pth", weights_only=True)
assert loaded.keys() == made.state_dict().keys()
sys.stdout.write("timm: loaded by path and by hub\n")
