"""Importance maps and sets: scoring by torch.compile, selection by Top-K of PyTorch and FlashInfer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from job import DEVICE, SCORING, SELECTION, Job, Peer, bf16, torch, turns
from workloads import Score, Select, of_kind


def compiled_score(shape: Score, logits: Callable[[Any, Any], Any]) -> Job:
    """The map of all layers by one compiled function, from contiguous keys.

    `logits` makes of queries `[batch, KV heads, columns, head_dim]` and keys `[batch, KV heads, context, head_dim]`, of
    the heads that are read, `[batch, KV heads, columns, context]`.
    """
    model, columns = shape.model, shape.heads * shape.tokens
    step = model.kv_heads // shape.kv_heads_read
    scale = model.head_dim**-0.5

    def score(layers: list[tuple[Any, Any]]) -> Any:
        total = torch.zeros((shape.batch, shape.context), device=layers[0][0].device)
        for query, key in layers:
            read = key[:, :, ::step].transpose(1, 2)
            total = total + (logits(query, read).float() * scale).softmax(-1).sum((1, 2))
        return total / (columns * len(layers))

    def layer() -> tuple[Any, Any]:
        query = bf16(shape.batch, shape.kv_heads_read, columns // shape.kv_heads_read, model.head_dim)
        return query, bf16(shape.batch, shape.context, model.kv_heads, model.head_dim)

    read_bytes = shape.layers * shape.batch * shape.context * shape.kv_heads_read * model.head_dim * 2
    inputs = [[layer() for _ in range(shape.layers)] for _ in range(turns(read_bytes))]
    compiled = torch.compile(score, dynamic=False)
    return Job(len(inputs), lambda turn: compiled(inputs[turn]))


def compiled_matmul(shape: Score) -> Job:
    """A batched matrix product, as one would write it."""
    return compiled_score(shape, lambda query, key: query @ key.transpose(-1, -2))


def compiled_sum(shape: Score) -> Job:
    """Products and their sums element by element, which the compiler fuses with what follows."""

    def logits(query: Any, key: Any) -> Any:
        return (query.float().unsqueeze(3) * key.float().unsqueeze(2)).sum(-1)

    return compiled_score(shape, logits)


def importance_map(shape: Select) -> Any:
    """A softmax of Gumbel noise, which is what the logits of the best tokens look like."""
    noise = torch.empty(shape.batch, shape.context, device=DEVICE).exponential_().reciprocal()
    return noise / noise.sum(-1, keepdim=True)


def torch_topk(shape: Select) -> Job:
    """One map, unsorted."""
    scores = importance_map(shape)
    return Job(1, lambda _: torch.topk(scores, shape.k, dim=-1, sorted=False))


def flashinfer_topk(shape: Select) -> Job:
    """One map, unsorted."""
    import flashinfer

    scores = importance_map(shape)
    return Job(1, lambda _: flashinfer.top_k(scores, shape.k))


PEERS = [
    Peer(SCORING, "torch.compile", compiled_matmul, of_kind(Score)),
    Peer(SCORING, "torch.compile, fused", compiled_sum, of_kind(Score)),
    Peer(SELECTION, "torch.topk", torch_topk, of_kind(Select)),
    Peer(SELECTION, "FlashInfer top_k", flashinfer_topk, of_kind(Select)),
]
