"""Which frameworks are installed here."""

from importlib.util import find_spec

print(*sorted(name for name in ("timm", "torch", "ultralytics") if find_spec(name)))  # noqa: T201  # the answer
