"""Paged caches, from the shapes and strides of their arrays."""

import ctypes
from typing import Any, Literal, TypeAlias

from . import _library
from ._arrays import HALF, View
from ._call import Call

Layout: TypeAlias = Literal["NHD", "HND"]
"""The order of a page's dimensions: `[pages, page_size, kv_heads, head_dim]` or `[pages, kv_heads, page_size,
head_dim]`.
"""


def dtype_constant(dtype: str) -> int:
    """The ABI's number of a 16-bit float."""
    return _library.constant(f"DTYPE_{dtype.upper()}")


def key_cache(call: Call, layout: Layout, name: str, *, value: Any = None, writable: bool = False) -> View:
    """A cache of 16-bit floats, with gaps between its pages, tokens and heads if it likes."""
    if layout not in ("NHD", "HND"):
        raise ValueError(f"layout: must be 'NHD' or 'HND', not {layout!r}")
    return call.array(name, HALF, (None, None, None, None), gaps=3, writable=writable, value=value)


def value_cache(call: Call, keys: View, name: str, *, value: Any = None, writable: bool = False) -> View:
    """The cache of values that goes with that of keys: of its type, shape and strides."""
    values = call.array(name, keys.dtype, keys.shape, gaps=3, writable=writable, value=value)
    if _strides(values) != _strides(keys):
        raise values.error(
            f"the strides must be those of {keys.name}, {list(keys.strides)}", list(values.strides)
        )
    return values


def paged_kv(keys: View, layout: Layout) -> ctypes.Structure:
    """The ABI's struct of a cache."""
    token, head = (1, 2) if layout == "NHD" else (2, 1)
    strides = _strides(keys)
    return _library.struct(
        "paged_kv",
        pages=keys.shape[0],
        page_size=keys.shape[token],
        kv_heads=keys.shape[head],
        head_dim=keys.shape[3],
        page_stride=strides[0],
        token_stride=strides[token],
        kv_head_stride=strides[head],
        dtype=dtype_constant(keys.dtype),
    )


def _strides(cache: View) -> list[int]:
    """The strides, where a dimension of one item has any, as that of an array without gaps inside it."""
    strides = list(cache.strides)
    for i in (2, 1, 0):
        if cache.shape[i] <= 1:
            strides[i] = cache.shape[i + 1] * strides[i + 1]
    return strides
