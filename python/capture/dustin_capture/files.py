"""Safetensors files that are read: what opens them, and what is said of those that are none."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from .errors import CaptureError, first_line


class File:
    """One file, `what` it is for in messages; opened whenever it is read."""

    def __init__(self, what: str, path: Path) -> None:
        self._named, self._path = f"{what} {path}", path
        try:
            with safe_open(path, "pt") as file:
                self._metadata = file.metadata() or {}
                self.names = frozenset(file.keys())
        except (OSError, SafetensorError) as error:
            raise self.failed(f"cannot be read ({first_line(error)}); check that it is whole") from error

    def entry(self, name: str, version: int) -> dict[str, Any]:
        """The JSON object of a metadata entry."""
        if name not in self._metadata:
            raise self.failed(f"must have the metadata entry {name}, but has none")
        return versioned(self._named, name, self._metadata[name], version)

    def tensor(self, name: str) -> torch.Tensor:
        if name not in self.names:
            raise self.failed(f"must have the tensor {name}, but has not")
        try:
            with safe_open(self._path, "pt") as file:
                return file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise self.failed(f"tensor {name} cannot be read ({first_line(error)})") from error

    def failed(self, why: str) -> CaptureError:
        return CaptureError(f"{self._named}: {why}")


def versioned(named: str, name: str, text: Any, version: int) -> dict[str, Any]:
    """A metadata entry's object; CaptureError if it is none, or of another version."""
    try:
        stated = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise CaptureError(f"{named}: {name} must be JSON, but is not ({first_line(error)})") from error
    actual = stated.get("version") if isinstance(stated, dict) else None
    if actual != version:
        raise CaptureError(f"{named}: version of {name} must be {version}, but is {actual}")
    return stated


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
