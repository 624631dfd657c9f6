"""Attention that shows its inputs: queries and keys behind the rotary embedding, all of the cache with them. If asked, it sees
only part of the cache.

transformers looks attention functions up by name, and all of the supported families call them with the same
arguments, so that one registered function sees what every layer of every family computes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "dustin_capture"


@dataclass(frozen=True)
class Call:
    """What one layer computes attention of, for the rows of one forward pass."""

    layer: int
    query: torch.Tensor
    """`[query_heads, rows, head_dim]`."""
    key: torch.Tensor
    """`[kv_heads, tokens, head_dim]`: all positions so far; the rows are the last of them."""
    value: torch.Tensor
    """As the keys."""
    scale: float

    @property
    def first(self) -> int:
        """The position of the first row."""
        return self.key.shape[1] - self.query.shape[1]


_observer: ContextVar[Callable[[Call], None] | None] = ContextVar("observer", default=None)


@contextmanager
def observed_by(observer: Callable[[Call], None]) -> Iterator[None]:
    """All calls within go to the observer, too."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@dataclass(frozen=True)
class _Restriction:
    positions: torch.Tensor
    confirmed: int


_restriction: ContextVar[_Restriction | None] = ContextVar("restriction", default=None)


@contextmanager
def restricted_to(positions: torch.Tensor, confirmed: int) -> Iterator[None]:
    """Within, all layers see nothing of the first `confirmed` tokens but these positions, ascending."""
    token = _restriction.set(_Restriction(positions, confirmed))
    try:
        yield
    finally:
        _restriction.reset(token)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of one sequence without padding, without a matrix of probabilities in memory."""
    # No mask function is registered under this name, and sliding windows are refused when a model is loaded.
    assert attention_mask is None and sliding_window is None and query.shape[0] == 1
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if (observer := _observer.get()) is not None:
        observer(Call(module.layer_idx, query[0], key[0], value[0], scale))
    if (restriction := _restriction.get()) is not None:
        own = torch.arange(restriction.confirmed, key.shape[2])
        seen = torch.cat((restriction.positions, own)).to(key.device)
        # The rows are still the last of what is left, so that they see each other as before.
        key, value = (of.index_select(2, seen) for of in (key, value))
    output = _causal(query, key, value, scale)
    return output.transpose(1, 2).contiguous(), None


def _causal(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    rows, tokens = query.shape[2], key.shape[2]
    group = query.shape[1] // key.shape[1]
    if rows in (1, tokens):
        causal = rows > 1
        return scaled_dot_product_attention(
            query, key, value, is_causal=causal, scale=scale, enable_gqa=group > 1
        )
    # With tokens before the rows the mask is aligned at the end; its fused kernels take no groups.
    key, value = (of.repeat_interleave(group, dim=1) for of in (key, value))
    return scaled_dot_product_attention(
        query, key, value, attn_mask=causal_lower_right(rows, tokens), scale=scale
    )


AttentionInterface.register(NAME, attend)
