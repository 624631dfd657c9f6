"""Reading what a DLPack capsule says, without taking its memory over."""

import ctypes
from typing import Any, NamedTuple


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("ordinal", ctypes.c_int32)]


class _Tensor(ctypes.Structure):
    """DLTensor of dlpack.h, with which an unversioned DLManagedTensor begins."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Description(NamedTuple):
    """An array as DLPack describes it; strides count items, None for an array without gaps."""

    address: int
    device: tuple[int, int]
    kind: tuple[int, int, int]
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    capsule: object


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def describe(array: Any, stream: int | None) -> Description:
    """What `array.__dlpack__` gives. Its memory is lent as long as the capsule lives: a capsule that nobody
    takes over frees it.
    """
    capsule = array.__dlpack__() if stream is None else array.__dlpack__(stream=stream)
    tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
    dimensions = range(tensor.ndim)
    return Description(
        (tensor.data or 0) + tensor.byte_offset,
        (tensor.device.type, tensor.device.ordinal),
        (tensor.code, tensor.bits, tensor.lanes),
        tuple(tensor.shape[i] for i in dimensions),
        tuple(tensor.strides[i] for i in dimensions) if tensor.strides else None,
        capsule,
    )
