"""Arrays of any library, as address, shape, strides, type and device.

An array is a torch tensor, or speaks the array interface (`__array_interface__`, `__cuda_array_interface__`)
or DLPack.
"""

import sys
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import _dlpack

Array: TypeAlias = Any
"""A torch tensor, a numpy array, or what speaks the array interface or DLPack.

16-bit floats are `bf16` (torch.bfloat16, ml_dtypes.bfloat16, or uint16 that holds its bits) or `f16`.
"""

Device: TypeAlias = tuple[str, int]
"""`("cpu", 0)`, or `("cuda", ordinal)`."""

CPU: Device = ("cpu", 0)

# Kind and bytes of an item, as array interfaces write them.
_TYPES = {
    "u2": "bf16",
    "f2": "f16",
    "f4": "f32",
    "i4": "i32",
    "u4": "u32",
    "i8": "i64",
    "u8": "u64",
}
_TORCH_TYPES = {
    "torch.bfloat16": "bf16",
    "torch.float16": "f16",
    "torch.float32": "f32",
    "torch.int32": "i32",
    "torch.int64": "i64",
    "torch.uint16": "bf16",
    "torch.uint64": "u64",
}
_DLPACK_KINDS = {0: "i", 1: "u", 2: "f"}
_DLPACK_DEVICES = {1: "cpu", 2: "cuda", 3: "cpu", 13: "cuda"}
_ITEM_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "i32": 4, "u32": 4, "i64": 8, "u64": 8}
HALF = ("bf16", "f16")


@dataclass(frozen=True)
class View:
    """An array, as calls of the library need it. Strides count items."""

    name: str
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: Device
    writable: bool
    owner: object

    def error(self, must: str, actual: object) -> ValueError:
        """What is wrong with this argument."""
        return ValueError(f"{self.name}: {must}, not {actual}")


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array without gaps, in items."""
    strides, items = [], 1
    for size in reversed(shape):
        strides.append(items)
        items *= size
    return tuple(reversed(strides))


def tensor_library(array: Any) -> Any:
    """The module torch if the array is one of its tensors, else None. Nobody has tensors without having
    imported it.
    """
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else None


def device_of(array: Any, name: str) -> Device:
    """The device that an array lies on; TypeError if it is no array."""
    if tensor_library(array):
        return _torch_device(array)
    if hasattr(array, "__array_interface__"):
        return CPU
    if hasattr(array, "__dlpack_device__"):
        kind, ordinal = array.__dlpack_device__()
        return _dlpack_device(name, int(kind), int(ordinal))
    if hasattr(array, "__cuda_array_interface__"):
        from . import _cuda

        return ("cuda", _cuda.ordinal_of_address(array.__cuda_array_interface__["data"][0]))
    raise TypeError(
        f"{name}: must be an array, with the array interface or DLPack, not {type(array).__name__}"
    )


def view(array: Any, name: str, stream: int | None = None) -> View:
    """What there is to know of an array. Memory of other libraries is waited for on `stream` where DLPack
    offers that.
    """
    if tensor_library(array):
        return _of_tensor(array, name, _torch_device(array))
    # Numpy makes the description anew whenever it is asked.
    if (interface := getattr(array, "__array_interface__", None)) is not None:
        return _of_interface(array, interface, name, CPU)
    device = device_of(array, name)
    if (interface := getattr(array, "__cuda_array_interface__", None)) is not None:
        return _of_interface(array, interface, name, device)
    return _of_dlpack(array, name, device, stream if device[0] == "cuda" else None)


def _torch_device(tensor: Any) -> Device:
    if tensor.device.type == "cpu":
        return CPU
    return (tensor.device.type, tensor.device.index or 0)


def _dlpack_device(name: str, kind: int, ordinal: int) -> Device:
    if kind not in _DLPACK_DEVICES:
        raise ValueError(f"{name}: must lie on a CPU or a CUDA device, not on DLPack's device type {kind}")
    return CPU if _DLPACK_DEVICES[kind] == "cpu" else ("cuda", ordinal)


def _of_tensor(tensor: Any, name: str, device: Device) -> View:
    dtype = _TORCH_TYPES.get(str(tensor.dtype), str(tensor.dtype))
    return View(name, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), dtype, device, True, tensor)


def _of_interface(array: Any, interface: dict[str, Any], name: str, device: Device) -> View:
    order, kind = interface["typestr"][0], interface["typestr"][1:]
    # Extensions of numpy, such as ml_dtypes, say no more than a size there.
    dtype = _TYPES.get(kind) or ("bf16" if str(getattr(array, "dtype", "")) == "bfloat16" else kind)
    if order == ">" and sys.byteorder == "little":
        raise TypeError(f"{name}: items must be in the machine's byte order")
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    if strides is None:
        strides = dense_strides(shape)
    else:
        item = int(kind[1:])
        if any(stride % item for stride in strides):
            raise ValueError(f"{name}: strides must be multiples of an item's {item} bytes, not {strides}")
        strides = tuple(stride // item for stride in strides)
    address, read_only = interface["data"]
    return View(name, address, shape, strides, dtype, device, not read_only, array)


def _of_dlpack(array: Any, name: str, device: Device, stream: int | None) -> View:
    # DLPack's number of CUDA's legacy default stream is 1.
    said = _dlpack.describe(array, None if stream is None else stream or 1)
    code, bits, lanes = said.kind
    kind = f"{_DLPACK_KINDS.get(code, code)}{bits // 8}"
    dtype = "bf16" if (code, bits) == (4, 16) else _TYPES.get(kind, kind)
    if lanes != 1:
        raise TypeError(f"{name}: items must be single numbers, not vectors of {lanes}")
    strides = said.strides or dense_strides(said.shape)
    return View(name, said.address, said.shape, strides, dtype, device, True, said.capsule)


def check(
    seen: View,
    dtypes: tuple[str, ...],
    shape: tuple[int | None, ...],
    *,
    gaps: int = 0,
    writable: bool = False,
) -> View:
    """Holds a view against what an argument must be.

    `shape` has None for a size that is free; the first `gaps` dimensions may have gaps between their items.
    TypeError for the item type, ValueError for everything else.
    """
    if seen.dtype not in dtypes:
        raise TypeError(f"{seen.name}: items must be {' or '.join(dtypes)}, not {seen.dtype}")
    if len(seen.shape) != len(shape) or any(
        must not in (None, size) for must, size in zip(shape, seen.shape)
    ):
        must = ", ".join("any" if size is None else str(size) for size in shape)
        raise seen.error(f"the shape must be [{must}]", list(seen.shape))
    if writable and not seen.writable:
        raise ValueError(f"{seen.name}: must be writable")
    if seen.address % _ITEM_BYTES[seen.dtype]:
        raise seen.error(f"must be aligned to {_ITEM_BYTES[seen.dtype]} bytes", f"at {seen.address:#x}")
    dense = dense_strides(seen.shape)
    for i, (size, stride) in enumerate(zip(seen.shape, seen.strides)):
        if size > 1 and (stride <= 0 if i < gaps else stride != dense[i]):
            must = "must be positive" if i < gaps else f"must be {dense[i]}, that of items without gaps"
            raise seen.error(f"the stride of dimension {i} {must}", stride)
    return seen


def stride(seen: View | None, dimension: int) -> int:
    """A stride in items, 0, the ABI's word for no gaps, where a dimension has but one item or the array is
    not given.
    """
    return seen.strides[dimension] if seen is not None and seen.shape[dimension] > 1 else 0


def address(seen: View | None) -> int | None:
    """The address of an array, null for one that is not given."""
    return None if seen is None else seen.address


def empty(like: Any, shape: tuple[int, ...], dtype: str, fill: int | None = None) -> Any:
    """A new array of the library and on the device of `like`; TypeError if that library is neither torch nor
    numpy.
    """
    if torch := tensor_library(like):
        kind = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32, "i32": torch.int32}[dtype]
        made = torch.empty(shape, dtype=kind, device=like.device)
        return made if fill is None else made.fill_(fill)
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(like, "__array_interface__"):
        raise TypeError(f"out: must be given for arrays of type {type(like).__name__}")
    # Numpy has no bf16 of its own: the type of `like` if that is one, else the bits.
    half = like.dtype if getattr(like, "dtype", None) is not None else numpy.uint16
    kind = {"bf16": half, "f16": numpy.float16, "f32": numpy.float32, "i32": numpy.int32}[dtype]
    return numpy.empty(shape, kind) if fill is None else numpy.full(shape, fill, kind)
