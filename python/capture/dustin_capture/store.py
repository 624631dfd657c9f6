"""Files: written beside the place they are for, and moved there when the capture is whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from . import layout
from .errors import CaptureError

REQUEST = "request.json"


class Store:
    """A capture under way: a folder of shards that becomes the output, or is merged into it.

    Each file appears under its name when it is whole, and a prompt's record after its shards, so that a run
    that was interrupted can go on behind the last prompt that has one.
    """

    def __init__(self, output: Path, request: Mapping[str, Any], restart: bool) -> None:
        if output.exists():
            raise CaptureError(f"--output {output}: must not be there yet, but is; name another place")
        self._output = output
        self._folder = output.with_name(output.name + ".partial")
        text = json.dumps(request, indent=1)
        self.identity = hashlib.sha256(text.encode()).hexdigest()
        try:
            if restart:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            for unfinished in self._folder.glob("*.tmp"):
                unfinished.unlink()
            begun = self._folder / REQUEST
            other = begun.read_text() != text if begun.exists() else any(self._folder.iterdir())
            if other:
                raise CaptureError(
                    f"--output {output}: {self._folder} holds part of another capture; name another place, or "
                    f"discard that part with --restart"
                )
            self._write_text(REQUEST, text)
        except OSError as error:
            raise self._failed(error) from error

    @property
    def single(self) -> bool:
        return self._output.suffix == ".safetensors"

    def record(self, prompt: int) -> dict[str, Any] | None:
        """What an earlier run has kept of a prompt that it finished."""
        path = self._folder / f"prompt-{prompt:05}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def finish_prompt(self, prompt: int, record: Mapping[str, Any]) -> None:
        self._write_text(f"prompt-{prompt:05}.json", json.dumps(record))

    def write(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """A shard."""
        self._save(self._folder / name, tensors, layout.metadata({"capture": self.identity}))

    def finish(self, content: Mapping[str, Any]) -> None:
        """Puts the capture, with its metadata, where it is to be."""
        metadata = layout.metadata({"capture": self.identity, **content})
        try:
            if self.single:
                self._merge(metadata)
                shutil.rmtree(self._folder)
            else:
                self._index(metadata)
                # The request goes last: without it, records would be nobody's.
                for path in sorted(self._folder.glob("*.json")):
                    if path.name != layout.INDEX:
                        path.unlink()
                self._folder.replace(self._output)
        except OSError as error:
            raise self._failed(error) from error

    def _shards(self) -> list[Path]:
        return sorted(self._folder.glob("*.safetensors"))

    def _merge(self, metadata: dict[str, str]) -> None:
        tensors = {}
        for path in self._shards():
            tensors |= load_file(path)
        self._save(self._output, tensors, metadata)

    def _index(self, metadata: dict[str, str]) -> None:
        weight_map, files = {}, {}
        for path in self._shards():
            with safe_open(path, "pt") as shard:
                weight_map |= dict.fromkeys(shard.keys(), path.name)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            files[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
        total = sum(file["bytes"] for file in files.values())
        index = {"metadata": {"total_size": total, **metadata}, "files": files, "weight_map": weight_map}
        self._write_text(layout.INDEX, json.dumps(index, indent=1))

    def _save(self, path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
        unfinished = path.with_name(path.name + ".tmp")
        try:
            save_file(dict(tensors), unfinished, metadata=metadata)
            # It makes files that nobody else may read, whatever the umask.
            unfinished.chmod((self._folder / REQUEST).stat().st_mode & 0o777)
            os.replace(unfinished, path)
        except (OSError, SafetensorError) as error:
            raise self._failed(error) from error

    def _write_text(self, name: str, text: str) -> None:
        unfinished = self._folder / f"{name}.tmp"
        unfinished.write_text(text)
        os.replace(unfinished, self._folder / name)

    def _failed(self, error: Exception) -> CaptureError:
        return CaptureError(
            f"--output {self._output}: cannot be written ({error}); check the path and the space"
        )
