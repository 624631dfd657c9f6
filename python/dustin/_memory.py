"""Memory of a context that the package owns: workspaces, and lists of addresses."""

import ctypes
import weakref

from . import _cuda


class Memory:
    """`size` bytes in host memory, or in that of a CUDA context, freed with this object."""

    def __init__(self, cu_context: int | None, size: int) -> None:
        self.size = size
        self._cu_context = cu_context
        if cu_context is None:
            # Items of 8 bytes: the alignment that CPU contexts ask for.
            self._host = (ctypes.c_uint64 * (max(size, 1) + 7 >> 3))()
            self.address = ctypes.addressof(self._host)
        else:
            self.address = _cuda.allocate(cu_context, size)
            weakref.finalize(self, _cuda.free, cu_context, self.address).atexit = False

    def write(self, items: bytes) -> None:
        """Fills its beginning."""
        if self._cu_context is None:
            ctypes.memmove(self.address, items, len(items))
        else:
            _cuda.upload(self._cu_context, self.address, items)
