"""One upload in several tasks: which models each takes, worked out by every task for itself and alike in all of them.

A share depends on the models and on ``models.lock`` alone, never on what the store holds just now: two tasks that start
a minute apart, or one that starts again after it died, must neither overlap nor leave a model to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weightdock.catalogue import ModelSpec
from weightdock.errors import ConfigurationError

_SHARE = re.compile(r"(\d{1,5})/(\d{1,5})")


@dataclass(frozen=True)
class Share:
    """The task's number, from 0, and how many tasks there are."""

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """``"2/8"``: the third of eight. Raises ConfigurationError."""
        match = _SHARE.fullmatch(text)
        share = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 0 <= share.index < share.of:
            raise ConfigurationError(
                f"{text!r} is no share",
                cause="a share is a task's number, from 0, '/' and the number of tasks",
                next="weightdock upload --share 0/4",
            )
        return share

    def take(self, specs: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
        """The models of this share, in the order of ``specs``; none when there are more tasks than models."""
        return shares(specs, self.of)[self.index]


def shares(specs: Sequence[ModelSpec], count: int) -> tuple[tuple[ModelSpec, ...], ...]:
    """``count`` shares of about as many bytes each: the largest model first, always to the smallest share.

    Every model is in one share. The order of ``specs`` does not matter. A model whose size ``models.lock`` does not
    have counts as the mean of the others.
    """
    known = [spec.locked.size_bytes for spec in specs if spec.locked]
    mean = sum(known) / len(known) if known else 1.0
    weights = {spec.model: spec.locked.size_bytes if spec.locked else mean for spec in specs}
    loads, owners = [0.0] * count, dict.fromkeys(weights, 0)
    for model in sorted(weights, key=lambda model: (-weights[model], model)):
        owners[model] = min(range(count), key=lambda index: (loads[index], index))
        loads[owners[model]] += weights[model]
    return tuple(tuple(spec for spec in specs if owners[spec.model] == index) for index in range(count))
