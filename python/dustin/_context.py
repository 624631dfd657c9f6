"""Where launches run."""

import functools
import struct
import threading
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from . import _cuda, _library
from ._arrays import CPU, Device, device_of, tensor_library
from ._handle import Handle
from ._memory import Memory

if TYPE_CHECKING:
    from ._plan import Plan


class Context(Handle):
    """A CUDA context, or threads of the CPU, with the plans that were made for it.

    Functions of the package take the context of their arrays' device if none is named. A plan is made at the
    first call of a problem, and kept until the context is closed: do not close it before its launches, and
    graphs of these, have ended.
    """

    def __init__(self, handle: int, device: Device, cu_context: int | None) -> None:
        """Use `cpu`, `cuda`, `cuda_current` or `borrow_cuda`."""
        super().__init__("context", handle)
        self.device = device
        self.cu_context = cu_context
        self._plans: dict[Hashable, Plan] = {}
        self._lists: dict[tuple[int, ...], Memory] = {}
        self._lock = threading.Lock()

    @classmethod
    def cpu(cls, threads: int = 0) -> "Context":
        """Threads of the CPU; 0 for one for each hardware thread."""
        return cls(_library.create("context_create_cpu", threads), CPU, None)

    @classmethod
    def cuda(cls, ordinal: int = 0) -> "Context":
        """The primary context of a CUDA device: the one of torch and of the CUDA runtime."""
        handle = _library.create("context_create_cuda", ordinal)
        return cls(handle, ("cuda", ordinal), _cuda.primary_context(ordinal))

    @classmethod
    def cuda_current(cls) -> "Context":
        """The CUDA context that is current on this thread, which must outlive the result."""
        return cls.borrow_cuda(_cuda.current_context())

    @classmethod
    def borrow_cuda(cls, cu_context: int) -> "Context":
        """A caller's `CUcontext`, by its address; it must outlive the result."""
        handle = _library.create("context_borrow_cuda", cu_context)
        return cls(handle, ("cuda", _cuda.ordinal_of_context(cu_context)), cu_context)

    @property
    def device_name(self) -> str:
        """The device in words, by the name that profiles know it by."""
        return _library.text("context_device_name", self.handle)

    def reports(self) -> list[str]:
        """Of each plan that functions have made the variant that serves it, where that comes from, and why it
        is no better.
        """
        with self._lock:
            return [f"{plan.kind}: {plan.report}" for plan in self._plans.values()]

    def close(self) -> None:
        """Frees the context and its plans, once their launches have ended. A second time does nothing."""
        with self._lock:
            for plan in self._plans.values():
                plan.close()
            self._plans.clear()
            self._lists.clear()
        super().close()

    def plan(self, key: Hashable, make: Callable[[], "Plan"]) -> "Plan":
        """The plan of a problem, made if it is new."""
        with self._lock:
            if key not in self._plans:
                self._plans[key] = make()
            return self._plans[key]

    def addresses(self, listed: tuple[int, ...]) -> int:
        """Where a list of addresses lies in the context's memory: written when it is new, and kept, as graphs may
        read it.
        """
        with self._lock:
            if listed not in self._lists:
                memory = Memory(self.cu_context, 8 * len(listed))
                memory.write(struct.pack(f"={len(listed)}Q", *listed))
                self._lists[listed] = memory
            return self._lists[listed].address


@functools.cache
def _shared(device: Device) -> Context:
    return Context.cpu() if device == CPU else Context.cuda(device[1])


def context_for(array: Any, name: str) -> Context:
    """The context that is shared by all calls on an array's device."""
    device = device_of(array, name)
    if device[0] not in ("cpu", "cuda"):
        raise ValueError(f"{name}: must lie on a CPU or a CUDA device, not on {device[0]}")
    return _shared(device)


def stream_for(context: Context, stream: Any, arrays: Iterable[Any]) -> int | None:
    """The stream of a launch: the one named, or torch's current one for tensors, or CUDA's default; none on a
    CPU.

    A stream is a number (`CUstream`), torch's, or an object with `ptr` or `__cuda_stream__`.
    """
    if context.device == CPU:
        if stream is not None:
            raise ValueError("stream: must be None on a CPU")
        return None
    if stream is None:
        for array in arrays:
            if torch := tensor_library(array):
                return int(torch.cuda.current_stream(context.device[1]).cuda_stream)
        return 0
    if isinstance(stream, int):
        return stream
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    for attribute in ("cuda_stream", "ptr"):
        if hasattr(stream, attribute):
            return int(getattr(stream, attribute))
    raise TypeError(f"stream: must be a number or a stream, not {type(stream).__name__}")
