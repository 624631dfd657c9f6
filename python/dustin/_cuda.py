"""The few calls of the CUDA driver that the package needs itself: memory for workspaces, the current context,
what is being captured.
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import Error

_DEVICE_ORDINAL = 9  # CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
_CAPTURE_ACTIVE = 1  # CU_STREAM_CAPTURE_STATUS_ACTIVE
_CAPTURE_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_NEVER_CAPTURED = (0, 1)  # The legacy default stream, by both of its names.


@functools.cache
def _driver() -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise Error("DUSTIN_STATUS_NO_GPU", f"there is no CUDA driver: {error}") from error
    if status := driver.cuInit(0):
        raise Error(
            "DUSTIN_STATUS_NO_GPU", f"the CUDA driver has no device to offer: cuInit gives error {status}"
        )
    return driver


def _call(name: str, *arguments: Any) -> None:
    if status := getattr(_driver(), name)(*arguments):
        raise Error("DUSTIN_STATUS_DRIVER", f"{name} gives error {status}")


def current_context() -> int:
    """The thread's current `CUcontext`; Error if it has none."""
    context = ctypes.c_void_p()
    _call("cuCtxGetCurrent", ctypes.byref(context))
    if not context.value:
        raise Error("DUSTIN_STATUS_INVALID_INPUT", "the thread has no current CUDA context")
    return context.value


def primary_context(ordinal: int) -> int:
    """The primary `CUcontext` of a device, kept until the process ends."""
    context, device = ctypes.c_void_p(), ctypes.c_int()
    _call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
    _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    return context.value or 0


@contextmanager
def _current(context: int) -> Iterator[None]:
    _call("cuCtxPushCurrent_v2", ctypes.c_void_p(context))
    try:
        yield
    finally:
        _call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def ordinal_of_context(context: int) -> int:
    """The number of the device that a `CUcontext` is of."""
    device = ctypes.c_int()
    with _current(context):
        _call("cuCtxGetDevice", ctypes.byref(device))
    return device.value


def ordinal_of_address(address: int) -> int:
    """The number of the device whose memory an address is of."""
    device = ctypes.c_int()
    _call("cuPointerGetAttribute", ctypes.byref(device), _DEVICE_ORDINAL, ctypes.c_uint64(address))
    return device.value


def capture_of(context: int, stream: int) -> int | None:
    """The number of the capture that a stream is taken down by; None if it is in none."""
    if stream in _NEVER_CAPTURED:
        return None
    status, number = ctypes.c_int(), ctypes.c_uint64()
    outputs = (ctypes.byref(status), ctypes.byref(number), None, None, None)
    with _current(context):
        _call("cuStreamGetCaptureInfo_v2", ctypes.c_void_p(stream), *outputs)
    return number.value if status.value == _CAPTURE_ACTIVE else None


@contextmanager
def _relaxed() -> Iterator[None]:
    """Lets this thread do what captures forbid otherwise, though no graph takes it down: allocate, free, wait."""
    mode = ctypes.c_int(_CAPTURE_RELAXED)
    _call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
    try:
        yield
    finally:
        _call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))


@contextmanager
def beside_captures(context: int) -> Iterator[int]:
    """A stream whose work no graph takes down, and which has ended behind the block. Memory may be allocated
    there.
    """
    stream = ctypes.c_void_p()
    with _relaxed(), _current(context):
        _call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(_NON_BLOCKING))
        try:
            yield stream.value or 0
            _call("cuStreamSynchronize", stream)
        finally:
            _call("cuStreamDestroy_v2", stream)


def allocate(context: int, size: int) -> int:
    """The address of `size` new bytes of a context's memory."""
    address = ctypes.c_uint64()
    with _current(context):
        _call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
    return address.value


def free(context: int, address: int) -> None:
    """Frees memory of a context, once what uses it has ended."""
    with _relaxed(), _current(context):
        _call("cuMemFree_v2", ctypes.c_uint64(address))


def upload(context: int, address: int, items: bytes) -> None:
    """Copies bytes to a context's memory, and waits for that."""
    with _current(context):
        _call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), items, ctypes.c_size_t(len(items)))
