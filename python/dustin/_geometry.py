"""Shapes of models."""

import ctypes
import os
from dataclasses import asdict, dataclass

from . import _library


@dataclass(frozen=True)
class Geometry:
    """The shape of a decoder-only model with grouped-query attention, of the whole model whatever the tensor
    parallelism.
    """

    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocabulary: int

    @classmethod
    def preset(cls, name: str) -> "Geometry":
        """A built-in model, by the name of its checkpoint, such as `Qwen2.5-72B`; Error if it is not
        known.
        """
        return cls._read("geometry_preset", name.encode())

    @classmethod
    def read_config(cls, path: str | os.PathLike[str]) -> "Geometry":
        """What a model's `config.json` states: of the families Qwen2, Qwen3, Llama and Mistral.

        Error for other files, and for a model with a sliding window that is at work.
        """
        return cls._read("geometry_read_config", os.fsencode(path))

    @classmethod
    def parse_config(cls, config: str) -> "Geometry":
        """As `read_config`, from the file's text."""
        items = config.encode()
        return cls._read("geometry_parse_config", items, len(items))

    @classmethod
    def _read(cls, function: str, *arguments: object) -> "Geometry":
        read = _library.struct("geometry")
        _library.call(function, *arguments, ctypes.byref(read))
        return cls(**{name: getattr(read, name) for name in cls.__dataclass_fields__})

    def as_struct(self) -> ctypes.Structure:
        """As the C ABI has it."""
        return _library.struct("geometry", **asdict(self))
