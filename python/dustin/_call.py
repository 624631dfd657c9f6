"""What one call of an operation has in common with all others: its context, its stream, and arrays on one
device.
"""

import ctypes
from collections.abc import Hashable
from typing import Any

from . import _arrays
from ._arrays import View
from ._context import Context, context_for, stream_for
from ._plan import Plan
from ._profile import Profile


class Call:
    """Arguments of one call, which keeps what it looks at alive until it ends."""

    def __init__(self, arrays: dict[str, Any], context: Context | None, stream: Any) -> None:
        """`arrays` holds the arguments by name; the first decides the context if none is named."""
        name, first = next(iter(arrays.items()))
        self.arrays = arrays
        self.context = context or context_for(first, name)
        self.stream = stream_for(self.context, stream, arrays.values())
        self._names_stream = stream is not None

    def array(
        self,
        name: str,
        dtypes: tuple[str, ...] | str,
        shape: tuple[int | None, ...],
        *,
        gaps: int = 0,
        writable: bool = False,
        value: Any = None,
    ) -> View:
        """The argument `name`, or `value` under that name, as it must be; TypeError or ValueError names it if
        it is not.
        """
        seen = _arrays.view(self.arrays[name] if value is None else value, name, self.stream)
        if seen.device != self.context.device:
            raise seen.error(
                f"must lie on {_words(self.context.device)}, as its context", f"on {_words(seen.device)}"
            )
        dtypes = (dtypes,) if isinstance(dtypes, str) else dtypes
        return _arrays.check(seen, dtypes, shape, gaps=gaps, writable=writable)

    def optional(self, name: str, *arguments: Any, **options: Any) -> View | None:
        """As `array`; None if the argument is not given."""
        return None if self.arrays.get(name) is None else self.array(name, *arguments, **options)

    def empty(self, like: Any, shape: tuple[int, ...], dtype: str, fill: int | None = None) -> Any:
        """As `_arrays.empty`. Memory that torch hands out, and what fills it, is in the order of its current
        stream, so that becomes the one that the call names.
        """
        torch = _arrays.tensor_library(like)
        if torch is None or not self._names_stream:
            return _arrays.empty(like, shape, dtype, fill)
        device = self.context.device[1]
        # Given 0, torch makes a new stream.
        stream = (
            torch.cuda.ExternalStream(self.stream, device)
            if self.stream
            else torch.cuda.default_stream(device)
        )
        with torch.cuda.stream(stream):
            return _arrays.empty(like, shape, dtype, fill)

    def plan(
        self,
        kind: str,
        problem: ctypes.Structure,
        profile: Profile | None,
        *,
        tuned: bool,
        lists: Hashable = (),
    ) -> Plan:
        """The plan for a problem; `lists` is what its pointers point to."""
        # Addresses in the problem differ from call to call: the lists stand for them.
        fields: Any = problem._fields_
        plain = tuple(
            bytes(value) if isinstance(value := getattr(problem, field), ctypes.Structure) else value
            for field, of in fields
            if not issubclass(of, ctypes._Pointer)
        )
        key = (kind, plain, lists, profile and profile.handle)
        return self.context.plan(key, lambda: Plan(kind, self.context, problem, profile, tuned))


def _words(device: tuple[str, int]) -> str:
    return device[0] if device == _arrays.CPU else f"{device[0]}:{device[1]}"
