"""What a verifier needs of the arrays of an engine."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from . import _arrays, _kv, _library
from ._arrays import Array, View, address, stride
from ._call import Call


def caches(
    call: Call, name: str, listed: Sequence[Array], layout: _kv.Layout, like: View | None = None
) -> list[View]:
    """The caches of all layers, of one shape and of one's strides."""
    if not listed:
        raise ValueError(f"{name}: must have a cache for each layer")
    first = like or _kv.key_cache(call, layout, f"{name}[0]", value=listed[0], writable=True)
    return [
        _kv.value_cache(call, first, f"{name}[{i}]", value=one, writable=True) for i, one in enumerate(listed)
    ]


def sizes(function: str, *arguments: Any) -> dict[str, int]:
    """What a function says of the sizes of an engine's arrays, by the names of the ABI's fields."""
    read = _library.struct("verifier_sizes")
    _library.call(function, *arguments, ctypes.byref(read))
    return {
        name: getattr(read, name) for name, *_ in read._fields_ if name not in ("struct_size", "reserved")
    }


def address_of(name: str, array: Any) -> int | None:
    """The address of an array, null for one that is not there."""
    return None if array is None else _arrays.view(array, name).address


def with_strides(seen: Mapping[str, View | None]) -> dict[str, int | None]:
    """Addresses of arrays of rows and heads, and their strides, by the names of the ABI's fields."""
    fields: dict[str, int | None] = {}
    for name, array in seen.items():
        fields |= {
            name: address(array),
            f"{name}_row_stride": stride(array, 0),
            f"{name}_head_stride": stride(array, 1),
        }
    return fields
