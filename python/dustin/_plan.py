"""Operations that are planned once for each problem, with the workspaces of their launches."""

import ctypes
import threading
from collections.abc import Hashable
from typing import Any

from . import _cuda, _library
from ._context import Context
from ._errors import FaultError
from ._handle import Handle
from ._memory import Memory
from ._profile import Profile


class Plan(Handle):
    """One operation, planned and compiled for one problem on one context."""

    def __init__(
        self, kind: str, context: Context, problem: ctypes.Structure, profile: Profile | None, tuned: bool
    ) -> None:
        # Operations without a tuning space take no profile.
        choice = (profile and profile.handle,) if tuned else ()
        handle = _library.create(f"{kind}_create", context.handle, *choice, ctypes.byref(problem))
        super().__init__("operation", handle)
        self.kind = kind
        self._cu_context = context.cu_context
        self._bytes = _library.number("operation_workspace_bytes", handle, kind=ctypes.c_uint64)
        self._workspaces: dict[Hashable, Memory] = {}

    @property
    def report(self) -> str:
        """The variant that is launched, where that choice comes from, and why it is nothing better."""
        return _library.text("operation_report", self.handle)

    def _workspace(self, stream: int | None) -> Memory:
        """Launches that overlap in time need a workspace each: those of other threads and streams may, and a
        graph's with all others. They are kept, as nobody says when a graph is gone.
        """
        place: tuple[Hashable, ...] = (threading.get_ident(), stream)
        if self._cu_context is not None:
            capture = _cuda.capture_of(self._cu_context, stream or 0)
            place = place if capture is None else ("graph", capture, stream)
        if place not in self._workspaces:
            self._workspaces[place] = self._made()
        return self._workspaces[place]

    def _made(self) -> Memory:
        """A workspace that is ready for every stream."""
        if self._cu_context is None:
            memory = Memory(None, self._bytes)
            _library.call("operation_initialise", self.handle, memory.address, memory.size, None)
            return memory
        with _cuda.beside_captures(self._cu_context) as stream:
            memory = Memory(self._cu_context, self._bytes)
            _library.call("operation_initialise", self.handle, memory.address, memory.size, stream)
        return memory

    def launch(self, arguments: ctypes.Structure, stream: int | None, check: bool | None) -> None:
        """Launches with the arguments, whose workspace is filled in.

        With `check` it waits, and raises FaultError for what the launch found; None is to check on a CPU
        alone.
        """
        workspace = self._workspace(stream)
        arguments.workspace, arguments.workspace_bytes = workspace.address, workspace.size
        _library.call(f"{self.kind}_launch", self.handle, ctypes.byref(arguments), stream)
        if check is True or (check is None and self._cu_context is None):
            self._check(workspace, stream)

    def _check(self, workspace: Memory, stream: int | None) -> None:
        fault, sequence = ctypes.c_uint32(), ctypes.c_uint32()
        place: tuple[Any, ...] = (self.handle, workspace.address, workspace.size, stream)
        _library.call("operation_status", *place, ctypes.byref(fault), ctypes.byref(sequence))
        if fault.value:
            _library.call("operation_clear_status", *place)
            raise FaultError(self.kind, _library.name_of("FAULT", fault.value), sequence.value)
