"""Attention by PyTorch's SDPA, which knows no pages: over contiguous caches, and over tokens copied together first."""

from __future__ import annotations

from functools import partial
from typing import Any

from gather import Gather
from job import FULL, SPARSE, Job, Peer, bf16, torch, turns
from workloads import TARGET, Attention, of_attention


def grouped_query(shape: Attention) -> Any:
    """Queries whose heads of one KV head stand as further rows of it."""
    rows = shape.rows * shape.query_heads // shape.kv_heads
    return bf16(shape.batch, shape.kv_heads, rows, TARGET.head_dim)


def sdpa(backend: str, query: Any, key: Any, value: Any) -> object:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(getattr(SDPBackend, backend)):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)


def gathered(shape: Attention) -> Job:
    """Tokens copied together, then FlashAttention-2 without a mask."""
    gather, query = Gather(shape), grouped_query(shape)

    def copied(cache: Any, tokens: Any) -> Any:
        return cache[tokens].view(shape.batch, -1, shape.kv_heads, TARGET.head_dim).transpose(1, 2)

    def launch(turn: int) -> object:
        cache, chosen = gather.turn(turn)
        (key, value), tokens = gather.caches[cache], gather.sets[chosen]
        return sdpa("FLASH_ATTENTION", query, copied(key, tokens), copied(value, tokens))

    return Job(gather.turns, launch)


def contiguous(shape: Attention, backend: str) -> Job:
    """Contiguous keys and values, no mask."""
    query, cache = grouped_query(shape), (shape.batch, shape.kv_heads, shape.context, TARGET.head_dim)
    caches = [(bf16(*cache), bf16(*cache)) for _ in range(turns(shape.cache_bytes))]
    return Job(len(caches), lambda turn: sdpa(backend, query, *caches[turn]))


PEERS = [
    Peer(SPARSE, "torch gather + SDPA", gathered, of_attention(full=False)),
    Peer(FULL, "torch SDPA, flash", partial(contiguous, backend="FLASH_ATTENTION"), of_attention(full=True)),
    Peer(FULL, "torch SDPA, cuDNN", partial(contiguous, backend="CUDNN_ATTENTION"), of_attention(full=True)),
]
