"""Reads pickles without running them: data comes out, names of code stay names.

Python's own `pickle` imports and calls what a file names. Here the stream is only split into
opcodes, and a small stack machine builds dicts, lists, strings, numbers and tensor descriptions.
Whatever else the stream names becomes an inert placeholder; calling a placeholder gives another
one. There is no code path from a file to an import. Containers (zip, stream) and tensor bytes are
`torch_file.py`'s concern.
"""

import pickletools
from collections.abc import Callable
from typing import IO, cast

from tercet.checkpoint.pickle_values import Global, Inert, storage_from, tensor_from
from tercet.errors import CheckpointError, UnsafePickleError

MAX_OPCODES = 5_000_000  # a checkpoint with optimizer state has some 100 000
MAX_PICKLE_BYTES = 256 * 2**20
_MAX_LINE_BYTES = 2**20
_MAX_NAME_CHARACTERS = 1000

# A call into one of these is no accident. Refusing it is a courtesy to the user: it would not have
# run anyway.
# fmt: off
_HOSTILE_MODULES = frozenset(
    (
        "asyncio", "builtins", "code", "codeop", "commands", "ctypes", "importlib",
        "multiprocessing", "nt", "os", "pip", "platform", "posix", "pty", "pydoc", "runpy",
        "shutil", "signal", "site", "socket", "subprocess", "sys", "tempfile", "threading",
        "timeit", "urllib", "webbrowser", "__builtin__",
    )
)
_HARMLESS_BUILTINS = frozenset(
    (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr",
        "int", "list", "object", "set", "slice", "str", "tuple",
    )
)
# fmt: on


class PickleStream:
    """A reader over bytes in memory or in a map, that never hands out a line of gigabytes."""

    def __init__(self, data: memoryview, start: int = 0) -> None:
        self._data = data
        self._at = start
        self._end = min(len(data), start + MAX_PICKLE_BYTES)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        taken = bytes(self._data[self._at : min(self._end, self._at + max(size, 0))])
        self._at += len(taken)
        return taken

    def readline(self) -> bytes:
        """Up to and including the next newline, `_MAX_LINE_BYTES` at most."""
        chunk = bytes(self._data[self._at : min(self._end, self._at + _MAX_LINE_BYTES)])
        line = chunk[: chunk.find(b"\n") + 1] or chunk
        self._at += len(line)
        return line

    def tell(self) -> int:
        """The position in the data."""
        return self._at


def read_pickle(stream: PickleStream, label: str) -> object:
    """The value of one pickle; the stream is left behind its last opcode.

    Args:
        stream: Where the pickle starts.
        label: The file's name, for messages.

    Raises:
        UnsafePickleError: it calls a function of the operating system or of Python's machinery.
        CheckpointError: it is damaged, too long, or uses an opcode that tensors never need.
    """
    machine = _Machine(label)
    try:
        # Real file objects have more methods; these three are all that `genops` calls.
        opcodes = pickletools.genops(cast(IO[bytes], stream))
        for count, (opcode, argument, _) in enumerate(opcodes):
            if count > MAX_OPCODES:
                raise CheckpointError(
                    f"{label}: pickle of over {MAX_OPCODES} opcodes; no checkpoint"
                )
            machine.run(opcode.name, argument)
        return machine.stack.pop()
    except CheckpointError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise CheckpointError(
            f"{label}: damaged pickle ({reason}); fetch the file again"
        ) from error


class _Machine:
    """The stack machine.

    `stack` is what lies above the innermost mark; `marks` are the stacks below.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.copied_pairs = 0

    def run(self, name: str, argument: object) -> None:
        """Execute one opcode."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _IGNORED:
            raise CheckpointError(f"{self.label}: pickle opcode {name}, which no checkpoint needs")

    def pop_mark(self) -> list[object]:
        """Everything above the innermost mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def call(self, function: object, arguments: object) -> object:
        """What a call stands for: a tensor description, a container, or an inert placeholder."""
        if not isinstance(function, Global):
            return Inert("a call of something that is no function")
        name = function.name
        module = name.split(".", 1)[0]
        is_harmless = name.rsplit(".", 1)[-1] in _HARMLESS_BUILTINS and name.count(".") == 1
        if module in _HOSTILE_MODULES and not is_harmless:
            raise UnsafePickleError(
                f"{self.label}: the pickle wants to call {name}; nothing was run. "
                "Do not trust this file; get the model from its publisher"
            )
        builder = _CALLS.get(name)
        if builder is None or not isinstance(arguments, tuple):
            return Inert(name)
        return builder(self, arguments)


def _mark(machine: _Machine, _: object) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine, _: object) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _put(machine: _Machine, index: object) -> None:
    machine.memo[int(cast(int, index))] = machine.stack[-1]


def _memoize(machine: _Machine, _: object) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _get(machine: _Machine, index: object) -> None:
    machine.stack.append(machine.memo[int(cast(int, index))])


def _tuple_of(count: int) -> Callable[[_Machine, object], None]:
    def build(machine: _Machine, _: object) -> None:
        if len(machine.stack) < count:
            raise ValueError("stack underflow")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(items)

    return build


def _tuple(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))


def _list(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    machine.stack.append(items)


def _append(machine: _Machine, _: object) -> None:
    item = machine.stack.pop()
    if isinstance(target := machine.stack[-1], list):
        target.append(item)


def _appends(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    if isinstance(target := machine.stack[-1], list):
        target.extend(items)


def _set_item(machine: _Machine, _: object) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _store(machine.stack[-1], [key, value])


def _set_items(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    _store(machine.stack[-1], items)


def _store(target: object, items: list[object]) -> None:
    if len(items) % 2:
        raise ValueError("a key without a value")
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only plain keys: hashing a deep tuple would recurse as deep as the file likes.
            if isinstance(key, str | int | float | bytes | None):
                target[key] = value


def _dict(machine: _Machine, _: object) -> None:
    items = machine.pop_mark()
    result: dict[object, object] = {}
    _store(result, items)
    machine.stack.append(result)


def _drop_to_mark(machine: _Machine, _: object) -> None:
    machine.pop_mark()


def _frozen_set(machine: _Machine, _: object) -> None:
    machine.pop_mark()
    machine.stack.append(Inert("builtins.frozenset"))


def _global(machine: _Machine, argument: object) -> None:
    machine.stack.append(Global(str(argument).replace(" ", ".", 1)))


def _stack_global(machine: _Machine, _: object) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a global without a name")
    if len(module) + len(name) > _MAX_NAME_CHARACTERS:
        raise ValueError("a global with an endless name")
    machine.stack.append(Global(f"{module}.{name}"))


def _reduce(machine: _Machine, _: object) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(function, arguments))


def _new_with_keywords(machine: _Machine, _: object) -> None:
    machine.stack.pop()
    _reduce(machine, None)


def _instance(machine: _Machine, argument: object) -> None:
    arguments = machine.pop_mark()
    function = Global(str(argument).replace(" ", ".", 1))
    machine.stack.append(machine.call(function, tuple(arguments)))


def _object(machine: _Machine, _: object) -> None:
    function, *arguments = machine.pop_mark()
    machine.stack.append(machine.call(function, tuple(arguments)))


def _build(machine: _Machine, _: object) -> None:
    machine.stack.pop()  # state of an object that is not there
    if not machine.stack:
        raise ValueError("stack underflow")


def _persistent(machine: _Machine, _: object) -> None:
    machine.stack.append(storage_from(machine.stack.pop()))


def _parameter(machine: _Machine, arguments: tuple[object, ...]) -> object:
    return arguments[0]


def _subclass_tensor(machine: _Machine, arguments: tuple[object, ...]) -> object:
    """`_rebuild_from_type_v2(function, type, arguments, state)`.

    The tensor that `function` would make.
    """
    return machine.call(arguments[0], arguments[2])


def _ordered_dict(machine: _Machine, arguments: tuple[object, ...]) -> object:
    result: dict[object, object] = {}
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list | tuple):
        return result
    machine.copied_pairs += len(
        pairs
    )  # one list may be copied over and over: a small file, a long wait
    if machine.copied_pairs > MAX_OPCODES:
        raise ValueError("too many copies of one list")
    for pair in pairs:
        if isinstance(pair, list | tuple) and len(pair) == 2:
            _store(result, list(pair))
    return result


def _tensor(machine: _Machine, arguments: tuple[object, ...]) -> object:
    return tensor_from(arguments)


_CALLS: dict[str, Callable[[_Machine, tuple[object, ...]], object]] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.dict": _ordered_dict,
    "__builtin__.dict": _ordered_dict,
    "torch.Size": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _subclass_tensor,
}
_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# fmt: off
_LITERALS = frozenset(
    (
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING",
        "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
        "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT",
        "BINFLOAT",
    )
)
# fmt: on
_IGNORED = frozenset(("PROTO", "FRAME", "STOP"))
_ACTIONS: dict[str, Callable[[_Machine, object], None]] = {
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": _drop_to_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": _tuple,
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "LIST": _list,
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "DICT": _dict,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "EMPTY_SET": lambda machine, _: machine.stack.append(Inert("builtins.set")),
    "ADDITEMS": _drop_to_mark,
    "FROZENSET": _frozen_set,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
