"""Follow a pickle's opcodes without executing one.

``pickletools.genops`` takes the bytes apart; an abstract stack, of what each opcode would leave there, says what is
called, with what, and what is filled. It is an allow-list throughout: opcodes, names, arguments, states. What passes
is safe for torch's restricted unpickler and for Python's own, because nodes open files with either.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod

from weightdock.safety.allow import Allowed, AllowList, Use
from weightdock.safety.calls import LARGEST_VIEW, SETS, check_build, check_call, is_device
from weightdock.safety.refusal import RefusalError, shown
from weightdock.safety.stack import MAX_OPCODES, UNDERFLOW, Stack
from weightdock.safety.values import ListBox, Made, TupleBox

_MAX_PROTOCOL = 5
_PROTOCOL = 2
"""What torch writes. From 3 on Python 2's names of modules mean nothing, and from 4 on there are frames."""

_TORCH_READS = """
PROTO STOP MARK BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE NEWOBJ BUILD BINPERSID NONE NEWTRUE NEWFALSE
BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINSTRING BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET"""
_OF_TORCH = frozenset(_TORCH_READS.split())
"""The opcodes of torch's own safe unpickler (torch/_weights_only_unpickler.py of 2.13), which reads no others.

The more there are, the more ways there are to write a file that is read otherwise than it is judged here.
"""

_CODE = (Use.CALLED, Use.CONFIG, Use.MODULE)
_VIEWS = 4
"""How often a file's storages may be seen by tensors, all in all. Weights that are shared are seen twice."""


@dataclass(frozen=True)
class Storage:
    """One storage that a pickle refers to: how many bytes it has to have."""

    kind: Allowed
    elements: int

    @property
    def size_bytes(self) -> int:
        """Its size in the file."""
        return self.elements * self.kind.item_bytes


class Walk:
    """The pickles of one file: the names that they found on the list, and the storages that they refer to."""

    def __init__(self, allowed: AllowList) -> None:
        self._allowed = allowed
        self.found: set[str] = set()
        self.storages: dict[str, Storage] = {}

    def follow(self, stream: io.BytesIO, *, of_torch: bool = True) -> object:
        """Follow one pickle from where ``stream`` stands to its STOP, and give what it leaves. Raises RefusalError.

        ``of_torch``: it is to be one that torch's own unpickler reads.
        """
        pickle = _Pickle(self._allowed, self.found, self.storages)
        handlers, start = pickle.handlers(), stream.tell()
        at: int | None = start
        following = start
        try:
            for opcode, argument, at in islice(pickletools.genops(stream), MAX_OPCODES):  # noqa: B007 (used below)
                if of_torch and opcode.name not in _OF_TORCH:
                    pickle.foreign(opcode.name, argument)
                handlers[opcode.name](argument)
                if of_torch and opcode.name == "PROTO" and argument != _PROTOCOL:
                    raise RefusalError(f"protocol {argument}, and torch writes {_PROTOCOL}", named=True)
                following = stream.tell()
            return pickle.result()
        except RefusalError as refusal:
            raise refusal.within(f"byte {at}") from None
        # What pickletools raises for a damaged argument; a warning is what `-W error` makes of an odd escape.
        except (ValueError, struct.error, OverflowError, IndexError, Warning) as error:
            reason = f"the pickle at byte {start} breaks off or is none: {shown(str(error))}"
            text = stream.getvalue()[following + 1 : stream.tell()]
            no_number = str(error).startswith("invalid literal for int") and not _may_be_a_number(text)
            # The other errors may be of pickletools alone, or of a limit here: an unpickler might go on.
            broken = str(error).endswith("unknown") or no_number
            raise RefusalError(reason, where=f"byte {at}", broken=broken) from error


def _may_be_a_number(text: bytes) -> bool:
    """Whether an unpickler may find one in an opcode's line: C's ends at a zero byte, and knows hexadecimal."""
    return text.lstrip(b" \t\n\v\f\r+-")[:1].isdigit()


class _Pickle(Stack):
    """One pickle: the opcodes for names, and what is done with them."""

    def __init__(self, allowed: AllowList, found: set[str], storages: dict[str, Storage]) -> None:
        super().__init__(allowed)
        self._allowed = allowed
        self._found = found
        self._storages = storages
        self._carried: Counter[str] = Counter()
        self._viewed = 0
        self._ended = False

    def handlers(self) -> dict[str, Callable[[object], None]]:
        foreign = {opcode.name: partial(self.foreign, opcode.name) for opcode in pickletools.opcodes}
        return foreign | super().handlers() | {name: getattr(self, handler) for name, handler in _HANDLERS.items()}

    def result(self) -> object:
        if not self._ended:
            raise RefusalError(f"a pickle of more than {MAX_OPCODES} opcodes")
        if self._viewed > _VIEWS * sum(storage.elements for storage in self._storages.values()) + LARGEST_VIEW:
            raise RefusalError("its tensors repeat their storages until they fill memory")
        for name, count in self._carried.items():
            if count:
                # As a hook, a key or an attribute it would be called later, with arguments that nobody has judged.
                raise RefusalError(f"{name.replace(' ', '.')} is carried as data instead of being used", named=True)
        return super().result()

    def foreign(self, opcode: str, argument: object) -> None:
        what = f" {shown(argument)}" if isinstance(argument, str) else ""
        raise RefusalError(f"opcode {opcode}{what}, which torch never writes", named=True)

    def _protocol(self, protocol: object) -> None:
        if not isinstance(protocol, int) or protocol > _MAX_PROTOCOL:
            raise RefusalError(f"protocol {protocol}, and there are those up to {_MAX_PROTOCOL}", broken=True)

    def _stop(self, _: object) -> None:
        self._ended = True

    def _get(self, index: object) -> None:
        try:
            value = self._memo[index]
        except KeyError:
            raise RefusalError("an opcode takes from the memo what is not there", broken=True) from None
        if type(value) is Allowed:
            self._carry(value)
        elif type(value) is TupleBox and any(type(item) is Allowed and item.use in _CODE for item in value.items):
            # Arguments with a class, which a call uses up: what lies elsewhere, too, would be carried as data.
            raise RefusalError("a tuple with a class or a function is there twice", named=True)
        self._stack.append(value)

    def _global(self, name: object) -> None:
        allowed = self._allowed.names.get(name) if isinstance(name, str) else None
        if allowed is None:
            dotted, framework = shown(str(name).replace(" ", ".")), self._allowed.framework
            raise RefusalError(f"it names {dotted}, which is not on the allow-list of {framework}", named=True)
        self._found.add(str(allowed))
        self._carry(allowed)
        self._stack.append(allowed)

    def _stack_global(self, _: object) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise RefusalError("it computes a name instead of writing it", named=True)
        self._global(f"{module} {name}")

    def _carry(self, allowed: Allowed) -> None:
        """A class or a function comes to the stack; it has to be used up there."""
        if allowed.use in _CODE:
            self._carried[allowed.key] += 1

    def _arguments(self) -> tuple[Allowed, TupleBox]:
        stack = self._stack
        if len(stack) < self._fence + 2:
            raise RefusalError(UNDERFLOW, broken=True)
        arguments, callee = stack.pop(), stack.pop()
        if type(callee) is not Allowed:
            raise RefusalError(f"it calls a {shown(callee)}, which is not a name of the allow-list", named=True)
        if type(arguments) is not TupleBox:
            raise RefusalError(f"{callee} is called with what is not a tuple", named=True)
        self._carried[callee.key] -= 1
        return callee, arguments

    def _reduce(self, _: object) -> None:
        callee, arguments = self._arguments()
        check_call(callee, arguments.items)
        for argument in (arguments, *arguments.items):
            self._copies(argument)
        self._views(callee, arguments.items)
        if callee.key in SETS:
            for listed in arguments.items:
                self._keys(listed.items if isinstance(listed, ListBox) else ())
        self._stack.append(Made(callee, arguments.items))
        for argument in arguments.items:
            if type(argument) is Allowed and argument.use in _CODE:
                self._carried[argument.key] -= 1

    def _views(self, callee: Allowed, arguments: Sequence[object]) -> None:
        """Count a tensor's elements: whoever makes other numbers of them copies each tensor, and not its storage."""
        if callee.name.startswith("_rebuild_tensor"):
            size = arguments[2]
            assert type(size) is TupleBox, "check_call has seen to it"
            self._viewed += prod(item for item in size.items if isinstance(item, int))

    def _new_object(self, _: object) -> None:
        cls, arguments = self._arguments()
        if cls.use not in (Use.MODULE, Use.CONFIG) or arguments.items:
            raise RefusalError(f"{cls} is created otherwise than by its bare class", named=True)
        self._stack.append(Made(cls))

    def _build(self, _: object) -> None:
        state, target = self._pop(), self._top()
        if type(target) is not Made:
            # A class, say: its attributes would be set, for everybody.
            raise RefusalError(f"a {shown(target)} is filled, which is not an object", named=True)
        check_build(target, state)
        self._copies(state)
        target.holds((state,))

    def _persistent(self, _: object) -> None:
        """``("storage", kind, key, location, elements)``; the legacy format adds a view, which has to be None."""
        identity = self._pop()
        if type(identity) is not TupleBox or len(identity.items) not in (5, 6):
            raise RefusalError("a persistent id that is not a storage's", named=True)
        word, kind, key, location, elements, *view = identity.items
        if word != "storage" or type(kind) is not Allowed or kind.use is not Use.STORAGE or view not in ([], [None]):
            raise RefusalError("a persistent id that is not a storage's", named=True)
        if type(key) is not str or not is_device(location) or type(elements) is not int or elements < 0:
            raise RefusalError("a storage without key, place or size")
        storage = Storage(kind, elements)
        if self._storages.setdefault(key, storage) != storage:
            raise RefusalError(f"storage {shown(key)} has two sizes")
        self._stack.append(Made(kind, elements=elements))


# With those of the stack, every opcode that has a place in a checkpoint. Missing on purpose: INST and OBJ (Python 2's
# classes), NEWOBJ_EX, EXT1/2/4 (names by number, from the loader's copyreg), PERSID, the two of out-of-band buffers,
# FRAME, within which C's unpickler and pickletools can be out of step, and POP, POP_MARK and DUP, which only hand-made
# pickles use, to hide what they do.
_HANDLERS = {
    "PROTO": "_protocol",
    "STOP": "_stop",
    "GET": "_get",
    "BINGET": "_get",
    "LONG_BINGET": "_get",
    "GLOBAL": "_global",
    "STACK_GLOBAL": "_stack_global",
    "REDUCE": "_reduce",
    "NEWOBJ": "_new_object",
    "BUILD": "_build",
    "BINPERSID": "_persistent",
}
