"""An abstract stack, and what the opcodes for plain data do with it: constants, memo, containers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType

from weightdock.safety.allow import Allowed, AllowList
from weightdock.safety.calls import ORDERED_DICT
from weightdock.safety.refusal import RefusalError
from weightdock.safety.texts import ActedOn
from weightdock.safety.values import Box, DictBox, ListBox, Made, SetBox, TupleBox, is_layer

# The largest registered checkpoint has 59,000 opcodes in 143 kB, and its longest text has 79 characters.
MAX_PICKLE_BYTES = 8 * 1024 * 1024
MAX_OPCODES = 500_000
_MAX_TEXT = 1024 * 1024
_MAX_INTEGER_BITS = 128
_MAX_ODD_KEYS = 1000  # real ones are texts, and small numbers: of classes
_SMALL_BITS = 31
_MAX_MARKS = 1000
_BYTES_COPIED_AS_ONE = 20

UNDERFLOW = "an opcode needs a value that is not there"
_EMPTY = TupleBox()


class Stack:
    """The stack of one pickle, its marks and its memo. Every opcode's handler takes the opcode's argument."""

    def __init__(self, allowed: AllowList) -> None:
        self._stack: list[object] = []
        self._fence = 0  # nothing below it may be taken: where the last MARK stands
        self._fences: list[int] = []
        self._memo: dict[object, object] = {}
        self._acted_on = ActedOn(allowed)
        self._odd_keys = 0
        self._copied = 0

    def handlers(self) -> dict[str, Callable[[object], None]]:
        """What handles each opcode, by its name."""
        return {name: getattr(self, handler) for handler, names in _HANDLERS.items() for name in names.split()}

    def result(self) -> object:
        """The one value that a pickle leaves. Raises RefusalError."""
        if self._fences or len(self._stack) != 1:
            raise RefusalError("the pickle leaves more or less than one value")
        self._acted_on.check()
        return self._stack[0]

    def _pop(self) -> object:
        if len(self._stack) <= self._fence:
            raise RefusalError(UNDERFLOW, broken=True)
        return self._stack.pop()

    def _top(self) -> object:
        if len(self._stack) <= self._fence:
            raise RefusalError(UNDERFLOW, broken=True)
        return self._stack[-1]

    def _pop_mark(self) -> list[object]:
        if not self._fences:
            raise RefusalError("an opcode needs a mark that is not there", broken=True)
        items = self._stack[self._fence :]
        del self._stack[self._fence :]
        self._fences.pop()
        self._fence = self._fences[-1] if self._fences else 0
        return items

    def _mark(self, _: object) -> None:
        self._fence = len(self._stack)
        self._fences.append(self._fence)
        if len(self._fences) > _MAX_MARKS:
            raise RefusalError(f"marks are nested more than {_MAX_MARKS} deep")

    # Constants

    def _constant(self, value: object) -> None:
        self._stack.append(value)

    def _text(self, text: object) -> None:
        if isinstance(text, str | bytes | bytearray) and len(text) > _MAX_TEXT:
            raise RefusalError(f"a text of {len(text)} bytes")
        self._stack.append(text)

    def _integer(self, number: object) -> None:
        if isinstance(number, int) and number.bit_length() > _MAX_INTEGER_BITS:
            raise RefusalError(f"an integer of {number.bit_length()} bits")
        self._stack.append(number)

    def _flag(self, value: object) -> None:
        # Python 3 writes numbers by it in protocol 0 only. Of "010" pickletools makes ten, and C's unpickler eight.
        if not isinstance(value, bool):
            raise RefusalError("a number as text, which torch never writes", named=True)
        self._stack.append(value)

    def _true(self, _: object) -> None:
        self._stack.append(True)

    def _false(self, _: object) -> None:
        self._stack.append(False)

    # The memo

    def _put(self, index: object) -> None:
        # Python's unpickler makes an array of twice the index: one opcode could ask for 32 GB.
        if not isinstance(index, int) or not 0 <= index < MAX_OPCODES:
            raise RefusalError("a memo index that no pickle of this size needs")
        if len(self._stack) <= self._fence:
            raise RefusalError(UNDERFLOW, broken=True)
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._top()

    # Containers

    def _empty_tuple(self, _: object) -> None:
        self._stack.append(_EMPTY)  # shared: nothing is added to a tuple

    def _tuple(self, _: object) -> None:
        self._stack.append(TupleBox(self._pop_mark()))

    def _tuple1(self, _: object) -> None:
        self._stack.append(TupleBox((self._pop(),)))

    def _tuple2(self, _: object) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append(TupleBox((first, second)))

    def _tuple3(self, _: object) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append(TupleBox((first, second, third)))

    def _empty_list(self, _: object) -> None:
        self._stack.append(ListBox())

    def _list(self, _: object) -> None:
        items = self._pop_mark()
        self._stack.append(ListBox())
        self._extend(items)

    def _append(self, _: object) -> None:
        self._extend([self._pop()])

    def _appends(self, _: object) -> None:
        self._extend(self._pop_mark())

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if type(target) is not ListBox:
            raise RefusalError("items are appended to what is not a list", named=True)
        target.extend(items)

    def _empty_dict(self, _: object) -> None:
        self._stack.append(DictBox())

    def _dict(self, _: object) -> None:
        items = self._pop_mark()
        self._stack.append(DictBox())
        self._set(items)

    def _set_item(self, _: object) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _set_items(self, _: object) -> None:
        self._set(self._pop_mark())

    def _set(self, items: list[object]) -> None:
        target = self._top()
        if type(target) is Made and target.is_a(ORDERED_DICT):
            if target.sealed:
                raise RefusalError("a tensor gets hooks", named=True)
            target.filled = target.filled or bool(items)
        elif type(target) is not DictBox:
            # CVE-2026-24747: torch before 2.10 set items on tensors, and Python sets them on anything.
            raise RefusalError("items are set on what is not a dictionary", named=True)
        if len(items) % 2:
            raise RefusalError("a dictionary has a key without a value")
        assert isinstance(target, DictBox | Made)
        target.holds(items)
        if isinstance(target, DictBox):
            target.count += len(items) // 2
        pairs = zip(items[::2], items[1::2], strict=True)
        target.plain = target.plain or not all(type(k) is str and (v is None or is_layer(v)) for k, v in pairs)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is str:
                self._acted_on.note(key, value)
            elif isinstance(key, Box | Allowed) and type(key) is not TupleBox:
                raise RefusalError("a dictionary has a key that is not a plain value", named=True)
        self._keys(items[::2])

    def _keys(self, keys: Sequence[object]) -> None:
        """Count those whose hashes anybody can choose to be all alike: a loader would compare each with each."""
        for key in keys:
            if type(key) is TupleBox and any(isinstance(item, Box) for item in key.items):
                raise RefusalError("a key that is a tuple of what holds others, which costs a loader 2 to its depth")
            if isinstance(key, str | bytes | NoneType) or (isinstance(key, int) and key.bit_length() <= _SMALL_BITS):
                continue
            self._odd_keys += 1
            if self._odd_keys > _MAX_ODD_KEYS:
                raise RefusalError(f"more than {_MAX_ODD_KEYS} keys that are neither texts nor small numbers")

    def _copies(self, value: object) -> None:
        """A call or a BUILD copies the value, which may come from the memo again and again: few bytes, much memory.

        What is copied once has an opcode for each of its items, or its bytes in the pickle.
        """
        if isinstance(value, str | bytes | bytearray):
            self._copied += len(value) // _BYTES_COPIED_AS_ONE
        elif isinstance(value, DictBox):
            self._copied += value.count
        elif isinstance(value, Box):
            self._copied += len(value.items)
        if self._copied > MAX_OPCODES:
            raise RefusalError(f"more than {MAX_OPCODES} items are copied")

    def _empty_set(self, _: object) -> None:
        self._stack.append(SetBox())

    def _add_items(self, _: object) -> None:
        items, target = self._pop_mark(), self._top()
        if type(target) is not SetBox:
            raise RefusalError("items are added to what is not a set", named=True)
        self._fill(target, items)

    def _frozenset(self, _: object) -> None:
        made = SetBox()
        self._fill(made, self._pop_mark())
        self._stack.append(made)

    def _fill(self, target: SetBox, items: list[object]) -> None:
        target.holds(items)
        self._keys(items)


_HANDLERS = {
    "_mark": "MARK",
    "_constant": "NONE BININT BININT1 BININT2 FLOAT BINFLOAT",
    "_flag": "INT",
    "_integer": "LONG LONG1 LONG4",
    "_text": "STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8",
    "_true": "NEWTRUE",
    "_false": "NEWFALSE",
    "_put": "PUT BINPUT LONG_BINPUT",
    "_memoize": "MEMOIZE",
    "_empty_tuple": "EMPTY_TUPLE",
    "_tuple": "TUPLE",
    "_tuple1": "TUPLE1",
    "_tuple2": "TUPLE2",
    "_tuple3": "TUPLE3",
    "_empty_list": "EMPTY_LIST",
    "_list": "LIST",
    "_append": "APPEND",
    "_appends": "APPENDS",
    "_empty_dict": "EMPTY_DICT",
    "_dict": "DICT",
    "_set_item": "SETITEM",
    "_set_items": "SETITEMS",
    "_empty_set": "EMPTY_SET",
    "_add_items": "ADDITEMS",
    "_frozenset": "FROZENSET",
}
