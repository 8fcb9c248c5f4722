"""What a pickle can stand for besides plain values: names, placeholders, storages and tensors.

Descriptions only, checked for their form; whether a storage has the bytes is `torch_file.py`'s concern.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function. Only a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Inert:
    """What a call to an unknown name would have made."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A block of bytes elsewhere in the file."""

    dtype: str  # a key of `dtypes.ITEM_BYTES`, or "untyped", or the unknown name
    key: str
    offset_items: int = 0


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A strided view of a storage.

    Sizes, strides and offset in items, none of them checked against the storage.
    """

    storage: StorageRef
    dtype: str
    offset_items: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_DTYPE_OF_STORAGE = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "untyped",
}
_DTYPE_OF_NAME = {"half": "float16", "float": "float32", "double": "float64", "long": "int64"}


def storage_from(reference: object) -> StorageRef:
    """A storage from torch's persistent id: ("storage", type, key, device, items[, view])."""
    if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
        raise ValueError("a persistent id that is no storage")
    kind, key = reference[1], reference[2]
    if not isinstance(kind, Global) or not isinstance(key, str | int):
        raise ValueError("a storage without type or key")
    type_name = kind.name.rsplit(".", 1)[-1]
    view = reference[5] if len(reference) > 5 else None  # stream format: (key, offset, items)
    offset = _whole(view[1]) if isinstance(view, tuple) and len(view) == 3 else 0
    return StorageRef(_DTYPE_OF_STORAGE.get(type_name, type_name), str(key), offset)


def tensor_from(arguments: tuple[object, ...]) -> TensorRef | Inert:
    """`_rebuild_tensor(storage, offset, size, stride)`; v2 and v3 add arguments behind these."""
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, StorageRef):
        return Inert("a tensor without storage")
    dtype = storage.dtype
    if dtype == "untyped":  # v3 names the type: (.., requires_grad, hooks, dtype, metadata)
        named = arguments[6] if len(arguments) > 6 else None
        name = named.name.rsplit(".", 1)[-1] if isinstance(named, Global) else "untyped"
        dtype = _DTYPE_OF_NAME.get(name, name)
    offset_items = storage.offset_items + _whole(offset)
    return TensorRef(storage, dtype, offset_items, _whole_tuple(shape), _whole_tuple(strides))


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size that is no whole number")
    return value


def _whole_tuple(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > 8:
        raise ValueError("a shape that is no short tuple")
    return tuple(_whole(one) for one in value)
