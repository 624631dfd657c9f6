"""The C header as ctypes: its constants, structs and functions.

The header is written by a tool, so a few patterns read all of it, and the package cannot differ from it.
"""

import ctypes
import re
from dataclasses import dataclass
from typing import Any

_SCALARS = {
    "uint32_t": ctypes.c_uint32,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "dustin_status": ctypes.c_int32,
}
_CONSTANT = re.compile(r"(DUSTIN_\w+) = (\d+),")
_STRUCT = re.compile(r"typedef struct (\w+) \{(.*?)\} \1;", re.DOTALL)
_FIELD = re.compile(r"([^;]*?)(\w+);")
_FUNCTION = re.compile(r"^((?:const )?\w+ \*?)(dustin_\w+)\((.*?)\);", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Header:
    """What a header declares, by name."""

    constants: dict[str, int]
    structs: dict[str, type[ctypes.Structure]]
    functions: dict[str, tuple[type, list[type]]]


def parse(text: str) -> Header:
    """Reads the text of `dustin.h`; ValueError names a type that is not known."""
    text = re.sub(r"//.*|^#.*", "", text, flags=re.MULTILINE)
    structs: dict[str, type[ctypes.Structure]] = {}
    for name, body in _STRUCT.findall(text):
        fields = [(field, _type(kind, structs)) for kind, field in _FIELD.findall(body)]
        structs[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    functions = {
        name: (_type(result, structs), _parameters(parameters, structs))
        for result, name, parameters in _FUNCTION.findall(text)
    }
    return Header({name: int(value) for name, value in _CONSTANT.findall(text)}, structs, functions)


def _parameters(text: str, structs: dict[str, type[ctypes.Structure]]) -> list[type]:
    if text == "void":
        return []
    # The last word of a parameter is its name.
    return [_type(re.sub(r"\w+\s*$", "", parameter), structs) for parameter in text.split(",")]


def _type(text: str, structs: dict[str, type[ctypes.Structure]]) -> type:
    """The type of a field, a parameter or a result."""
    stars = text.count("*")
    name = re.sub(r"\b(const|struct)\b|\*", "", text).strip()
    if name == "char" and stars == 1:
        return ctypes.c_char_p
    known: Any = _SCALARS.get(name) or structs.get(name)
    if known is None:
        # Memory, or a handle: an address that is never followed here.
        if stars == 0:
            raise ValueError(f"a type that is not known: {text!r}")
        known, stars = ctypes.c_void_p, stars - 1
    for _ in range(stars):
        known = ctypes.POINTER(known)
    kind: type = known
    return kind
