"""Text in a checkpoint that its framework acts upon: see ``[acted_on]`` in ``ultralytics.toml``."""

from __future__ import annotations

from weightdock.safety.allow import AllowList
from weightdock.safety.refusal import RefusalError, shown
from weightdock.safety.values import DictBox, ListBox, Made, TupleBox, is_layer

_CHILDREN = "_modules"
_CONTAINERS = "torch.nn.modules.container"
_NO_TEXT = (type(None), bool, int, float, DictBox, ListBox, TupleBox)


class ActedOn:
    """Notes what stands under the keys that matter, and judges it when the pickle has ended and nothing changes."""

    def __init__(self, allowed: AllowList) -> None:
        self._allowed = allowed
        self._noted: dict[tuple[str, int], object] = {}

    def note(self, key: str, value: object) -> None:
        """A dictionary gets ``value`` under ``key``. Raises RefusalError for a key that Python itself acts upon."""
        if key[:2] == "__":
            # `__setstate__`, `__reduce_ex__`: set on an instance, they are called instead of its class's own.
            raise RefusalError(f"a dictionary has the key {shown(key)}, which Python acts upon", named=True)
        if key == _CHILDREN or key in self._allowed.texts or key in self._allowed.layer_keys:
            self._noted[key, id(value)] = value  # once, however often it is taken from the memo

    def check(self) -> None:
        """Raises RefusalError unless everything noted looks as it should."""
        for (key, _), value in self._noted.items():
            if key == _CHILDREN:
                _check_children(value)
            elif key in self._allowed.texts:
                self._text(key, value)
            else:
                self._layers(key, value)

    def _text(self, key: str, value: object) -> None:
        if type(value) is str:
            harmless = bool(self._allowed.texts[key].fullmatch(value))
        else:
            # Python evaluates bytes, too, and whatever else gives bytes: one of numpy's numbers does.
            harmless = type(value) in _NO_TEXT or is_layer(value)
        if not harmless:
            raise RefusalError(f"{self._allowed.framework} would act upon its `{key}`: {shown(value)}", named=True)

    def _layers(self, key: str, rows: object) -> None:
        # A layer is no rows, but for a container of layers: one is added to another and iterated over as lists are, and
        # what its keys are would be the rows.
        if rows is None or (type(rows) is Made and is_layer(rows) and rows.allowed.module != _CONTAINERS):
            return
        for row in rows.items if type(rows) is ListBox else [None]:
            layer = row.items[2] if type(row) is ListBox and len(row.items) == 4 else None
            if type(layer) is not str or layer not in self._allowed.layers:
                raise RefusalError(
                    f"its `{key}` has a layer {shown(layer)}, which is not on the allow-list", named=True
                )


def _check_children(value: object) -> None:
    """A layer's children are layers. With others, a container of layers is a list: of an architecture's rows, say."""
    if not isinstance(value, DictBox | Made) or value.plain:
        raise RefusalError("a layer has a child that is none", named=True)
