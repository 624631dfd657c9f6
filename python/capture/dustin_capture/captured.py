"""A capture that is there: its metadata, tokens and logits."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from . import layout
from .errors import CaptureError, first_line
from .files import File, sha256, versioned


class Captured:
    """The capture at a path: a file, the folder of an index, or the index."""

    def __init__(self, path: Path) -> None:
        self._named = f"--capture {path}"
        if path.is_dir():
            path = path / layout.INDEX
        self._folder, self._shards = path.parent, None
        if path.suffix == ".json":
            self.metadata = self._read_index(path)
        else:
            self._single = File("--capture", path)
            self.metadata = self._single.entry(layout.METADATA, layout.VERSION)
        self.digest = sha256(path)
        try:
            self.prompts: list[dict[str, Any]] = self.metadata["prompts"]
            self.geometry: dict[str, int] = self.metadata["target"]["geometry"]
            self.dtype: str = self.metadata["target"]["dtype"]
            for prompt, field in product(self.prompts, ("name", "role", "tokens", "prompt_tokens")):
                prompt[field]
        except (KeyError, TypeError) as error:
            raise CaptureError(f"{self._named}: {layout.METADATA} must have the field {error}") from error

    def tokens(self, prompt: int) -> list[int]:
        """A prompt and its continuation."""
        tokens = self._tensor(layout.tokens(prompt), [self.prompts[prompt]["tokens"]]).tolist()
        vocabulary = self.geometry["vocabulary"]
        if beyond := [token for token in tokens if not 0 <= token < vocabulary]:
            raise CaptureError(
                f"{self._named}: {layout.tokens(prompt)} must be below the vocabulary, {vocabulary}, but one is "
                f"{beyond[0]}"
            )
        return tokens

    def logits(self, prompt: int, shape: Sequence[int]) -> torch.Tensor | None:
        """Those of positions P - 1 and later, if they were kept."""
        name = layout.logits("target", prompt)
        if not self._has(name):
            return None
        logits = self._tensor(name, shape)
        if not logits.isfinite().all():
            raise CaptureError(f"{self._named}: tensor {name} must be finite, but is not")
        return logits

    def _read_index(self, path: Path) -> dict[str, Any]:
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            self._shards, text = index["weight_map"], index["metadata"][layout.METADATA]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CaptureError(
                f"{self._named}: must be a capture's file, folder or index, but cannot be read as one "
                f"({first_line(error)})"
            ) from error
        return versioned(self._named, layout.METADATA, text, layout.VERSION)

    def _has(self, name: str) -> bool:
        return name in (self._single.names if self._shards is None else self._shards)

    def _tensor(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        if not self._has(name):
            raise CaptureError(f"{self._named}: must have the tensor {name}, but has not")
        if self._shards is None:
            tensor = self._single.tensor(name)
        else:
            # Shards lie beside their index.
            tensor = File("--capture", self._folder / Path(self._shards[name]).name).tensor(name)
        if list(tensor.shape) != list(shape):
            raise CaptureError(
                f"{self._named}: tensor {name} must be {list(shape)}, but is {list(tensor.shape)}"
            )
        return tensor
