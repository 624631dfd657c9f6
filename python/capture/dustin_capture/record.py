"""What is kept of a model's attention while it reads one prompt."""

from collections.abc import Iterator

import torch

from .attention import Call
from .errors import CaptureError
from .model import Model


def require_finite(model: Model, what: str, tensor: torch.Tensor) -> None:
    if not tensor.isfinite().all():
        raise CaptureError(
            f"{model.role} model {model.name}, {what} must be finite, but are not; try another --dtype"
        )


class Recorder:
    """Queries of the positions from `first_query` on, and the keys and values as the last pass left them.

    Queries go to host memory; keys and values are the cache's own tensors and are copied a layer at a time, when
    they are written.
    """

    def __init__(self, model: Model, first_query: int, values: bool) -> None:
        self._model, self._first, self._values = model, first_query, values
        self._heads, self._kv_heads = model.kept.heads, model.kept.kv_heads
        self._queries: dict[int, list[torch.Tensor]] = {layer: [] for layer in model.kept.layers}
        self._last: dict[int, Call] = {}

    def observe(self, call: Call) -> None:
        if call.layer not in self._queries:
            return
        self._last[call.layer] = call
        if (rows := call.query[:, max(self._first - call.first, 0) :]).shape[1]:
            self._queries[call.layer].append(rows[list(self._heads)].cpu())

    def layers(self) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
        """Each layer's tensors, in host memory; CaptureError if a number is not finite."""
        for layer in self._model.kept.layers:
            last = self._last.pop(layer)
            tensors = {"queries": torch.cat(self._queries.pop(layer), dim=1), "keys": self._copy(last.key)}
            if self._values:
                tensors["values"] = self._copy(last.value)
            for what, tensor in tensors.items():
                require_finite(self._model, f"layer {layer}: {what}", tensor)
            yield layer, tensors

    def _copy(self, cached: torch.Tensor) -> torch.Tensor:
        return cached[list(self._kv_heads)].cpu().contiguous()
