"""The shared library: where it is, and calls of its functions."""

import ctypes
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import Error, LibraryNotFoundError
from ._header import Header, parse

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parent.parent
_NAME = "libdustin_c.so"


@functools.cache
def header() -> Header:
    """The C header that this package was made with."""
    return parse(header_text())


def header_text() -> str:
    """The header's text: beside this file, or in the repository."""
    beside = _PACKAGE / "dustin.h"
    path = beside if beside.is_file() else _REPOSITORY / "capi" / "include" / "dustin.h"
    return path.read_text(encoding="utf-8")


def constant(name: str) -> int:
    """A constant of the header, without its prefix: `DTYPE_BF16`."""
    return header().constants[f"DUSTIN_{name}"]


def name_of(prefix: str, value: int) -> str:
    """The constant of an enumeration with that value, such as `DUSTIN_FAULT_PAGE`."""
    prefix = f"DUSTIN_{prefix}_"
    for name, number in header().constants.items():
        if number == value and name.startswith(prefix):
            return name
    return f"{prefix}{value}"


def struct(name: str, **fields: Any) -> ctypes.Structure:
    """A struct of the header, `dustin_` left out, with its size filled in if it says that."""
    kind = header().structs[f"dustin_{name}"]
    made = kind(**fields)
    if kind._fields_[0][0] == "struct_size":
        made.struct_size = ctypes.sizeof(kind)
    return made


@dataclass(frozen=True)
class _Library:
    path: str
    functions: dict[str, Callable[..., Any]]


@functools.cache
def _library() -> _Library:
    path = find()
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryNotFoundError(f"the library at {path} cannot be loaded: {error}") from error
    functions = {}
    for name, (result, parameters) in header().functions.items():
        # A library older than the header lacks its last functions, and is of use without them.
        if function := getattr(loaded, name, None):
            function.restype, function.argtypes = result, parameters
            functions[name] = function
    return _Library(path, functions)


def find() -> str:
    """Where the library is: what DUSTIN_LIBRARY names, beside this file, or in the repository's `target`."""
    if named := os.environ.get("DUSTIN_LIBRARY"):
        return named
    places = [
        _PACKAGE / _NAME,
        *(_REPOSITORY / "target" / profile / _NAME for profile in ("release", "debug")),
    ]
    for place in places:
        if place.is_file():
            return str(place)
    raise LibraryNotFoundError(
        f"{_NAME} is in none of {', '.join(map(str, places))}: "
        "build it with `cargo build --release -p dustin-c`, "
        "or name it with DUSTIN_LIBRARY"
    )


def call(name: str, *arguments: Any) -> None:
    """Calls `dustin_<name>`; Error if it does not succeed."""
    functions = _library().functions
    function = functions.get(f"dustin_{name}")
    if function is None:
        raise LibraryNotFoundError(f"the library at {_library().path} is too old: it has no dustin_{name}")
    if status := function(*arguments):
        sentence = functions["dustin_last_error"]().decode()
        raise Error(functions["dustin_status_name"](status).decode(), sentence)


def create(name: str, *arguments: Any) -> int:
    """Calls a function that makes a handle, which it writes to its last argument; gives the handle."""
    handle = ctypes.c_void_p()
    call(name, *arguments, ctypes.byref(handle))
    return handle.value or 0


def number(name: str, *arguments: Any, kind: type = ctypes.c_uint32) -> int:
    """Calls a function that writes one number to its last argument; gives the number."""
    value = kind()
    call(name, *arguments, ctypes.byref(value))
    return int(value.value)


def text(name: str, *arguments: Any) -> str:
    """Calls a function that writes a text of any length; gives the text."""
    length = ctypes.c_size_t()
    call(name, *arguments, None, 0, ctypes.byref(length))
    buffer = ctypes.create_string_buffer(length.value + 1)
    call(name, *arguments, buffer, len(buffer), None)
    return buffer.value.decode()


def abi_version() -> int:
    """The version of the C ABI that the library has."""
    return int(_library().functions["dustin_abi_version"]())
