"""The package's functions on arrays of every library: tests write numpy, which goes to tensors and comes back.

So whatever a test says of numpy arrays holds of torch's on both devices, too.
"""

import dataclasses
import functools
import importlib
import inspect
import os
from types import ModuleType
from typing import Any, NoReturn

import dustin
import numpy as np
import pytest

NAMES = ("numpy", "torch-cpu", "torch-cuda")

each = pytest.mark.parametrize("lib", NAMES, indirect=True)
"""Marks a module whose tests run on the arrays of every library."""


def missing(reason: str) -> NoReturn:
    """Skips the test; fails it where a GPU, and what GPU tests need, is required."""
    if os.environ.get("DUSTIN_REQUIRE_GPU") == "1":
        pytest.fail(f"DUSTIN_REQUIRE_GPU is set, and {reason}")
    pytest.skip(reason)


def optional(name: str) -> ModuleType:
    """A module that tests run without."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"{name} cannot be imported: {error}")


def torch_with_cuda() -> ModuleType:
    torch = optional("torch")
    if not torch.cuda.is_available():
        missing("torch finds no GPU")
    return torch


class Numpy:
    """The package as it is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(dustin, name)


class Torch:
    """The package on torch tensors. What numpy arrays hold is written to their tensors before each call, and
    what has changed comes back behind it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.torch = torch_with_cuda() if device == "cuda" else optional("torch")
        self.pairs: dict[int, tuple[np.ndarray, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return self.called(getattr(dustin, name))

    def called(self, function: Any) -> Any:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            if self.device == "cuda" and "check" in inspect.signature(function).parameters:
                # As on a CPU, where it is the default.
                options.setdefault("check", True)
            given, named = self.given(arguments), self.given(options)
            before = {
                key: self.to_numpy(self.write(array, tensor)) for key, (array, tensor) in self.pairs.items()
            }
            try:
                return self.taken(function(*given, **named))
            finally:
                for key, (array, tensor) in self.pairs.items():
                    after = self.to_numpy(tensor)
                    if key not in before or after.tobytes() != before[key].tobytes():
                        array[...] = after

        return call

    def given(self, value: Any) -> Any:
        """The value with tensors in place of numpy arrays."""
        if isinstance(value, np.ndarray):
            if id(value) not in self.pairs:
                self.pairs[id(value)] = (value, self.like(value))
            return self.pairs[id(value)][1]
        if isinstance(value, Object):
            return value.inner
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.given, value))
        if isinstance(value, dict):
            return {key: self.given(item) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return dataclasses.replace(
                value, **{one.name: self.given(getattr(value, one.name)) for one in fields}
            )
        return value

    def taken(self, value: Any) -> Any:
        """The value with numpy arrays in place of tensors."""
        if isinstance(value, self.torch.Tensor):
            for array, tensor in self.pairs.values():
                if tensor is value:
                    return array
            return self.to_numpy(value)
        if isinstance(value, (dustin.Verifier, dustin.Step, dustin.Caches)):
            return Object(self, value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return dataclasses.replace(
                value, **{one.name: self.taken(getattr(value, one.name)) for one in fields}
            )
        return value

    def like(self, array: np.ndarray) -> Any:
        """A tensor of the same shape, strides and type."""
        strides = [stride // array.itemsize for stride in array.strides]
        dtype = getattr(self.torch, str(array.dtype))
        return self.torch.empty_strided(array.shape, strides, dtype=dtype, device=self.device)

    def write(self, array: np.ndarray, tensor: Any) -> Any:
        return tensor.copy_(self.torch.from_numpy(np.ascontiguousarray(array)))

    def to_numpy(self, tensor: Any) -> np.ndarray:
        if tensor.dtype == self.torch.bfloat16:
            tensor = tensor.view(self.torch.uint16)
        return tensor.cpu().numpy().copy()


class Object:
    """An object of the package whose methods take and whose attributes give numpy arrays."""

    def __init__(self, lib: Torch, inner: Any) -> None:
        self.lib, self.inner = lib, inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        return self.lib.called(value) if callable(value) else self.lib.taken(value)


def make(name: str) -> Any:
    """The package on arrays of the library of that name."""
    return Numpy() if name == "numpy" else Torch(name.removeprefix("torch-"))
