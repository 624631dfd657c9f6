"""Handles of the library, freed with the objects that own them."""

import weakref

from . import _library


def _destroy(function: str, handle: int) -> None:
    _library.call(function, handle)


class Handle:
    """Owns a handle of the library. Once closed, calls with it are refused: `Error` with
    `DUSTIN_STATUS_NO_SUCH_HANDLE`.
    """

    def __init__(self, kind: str, handle: int) -> None:
        self.handle = handle
        self._finalizer = weakref.finalize(self, _destroy, f"{kind}_destroy", handle)
        # When the interpreter ends, the process frees everything, and the CUDA driver may be gone.
        self._finalizer.atexit = False

    def close(self) -> None:
        """Frees it, once what was launched with it has ended. A second time does nothing."""
        self._finalizer()
