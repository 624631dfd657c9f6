"""The package's functions as custom operations of torch, for `torch.compile`.

Importing this module registers `torch.ops.dustin.attention`, `score`, `select`, `append` and `compact`; its
functions of these names call them. They are the package's functions with tensors and plain numbers as arguments,
on torch's current stream: shapes, types and errors are documented there. Operations that give something give new
tensors; `append` and `compact` write to the caches.

A problem's first call plans and compiles, and may not be part of a CUDA graph: call once before a capture.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch

from . import _append, _attention, _compact, _score, _select
from ._attention import Sets, Window
from ._compact import Caches
from ._profile import Profile
from ._score import ScoreLayer

__all__ = ["append", "attention", "compact", "score", "select"]


@functools.cache
def _profile(path: str | None) -> Profile | None:
    """The profile in a file, which is read once."""
    return None if path is None else Profile.read(path)


@torch.library.custom_op("dustin::attention", mutates_args=())
def attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    block_table: torch.Tensor,
    lengths: torch.Tensor,
    row_starts: torch.Tensor,
    entries: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
    masks: torch.Tensor | None = None,
    *,
    rows: int,
    block: int = 1,
    slots: bool = False,
    window: Sequence[int] | None = None,
    layout: str = "NHD",
    scale: float | None = None,
    lse: bool = False,
    lse_base: str = "e",
    out_dtype: str = "rounded",
    batch_invariant: bool = False,
    stable: bool = False,
    profile: str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`dustin.attention`: over sets, which `entries`, `sizes`, `block` and `slots` make up; over a window, `[sinks,
    recent]`; else over all confirmed tokens. profile: the file of one.

    Gives the output and the log-sum-exp; without `lse` that is empty.
    """
    tokens: Sets | Window | None = None
    if (entries is None) != (sizes is None):
        raise ValueError("sizes: must be given with entries, and only then")
    if entries is not None and window is not None:
        raise ValueError("window: must not be given with entries")
    if window is not None:
        sinks, recent = window
        tokens = Window(sinks, recent)
    elif entries is not None:
        tokens = Sets(entries, sizes, block, slots)
    options: dict[str, Any] = {
        "rows": rows,
        "tokens": tokens,
        "masks": masks,
        "layout": layout,
        "scale": scale,
    }
    options |= {"lse": lse, "lse_base": lse_base, "out_dtype": out_dtype, "profile": _profile(profile)}
    options |= {"batch_invariant": batch_invariant, "stable": stable}
    arrays = (query, key_cache, value_cache, block_table, lengths, row_starts)
    attended = _attention.attention(*arrays, **options)
    output: torch.Tensor = attended.output
    return output, _no_lse(query) if attended.lse is None else attended.lse


@attention.register_fake
def _(
    query: torch.Tensor,
    *_arrays: object,
    lse: bool = False,
    out_dtype: str = "rounded",
    **_options: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    output = query.new_empty(query.shape, dtype=torch.float32 if out_dtype == "f32" else query.dtype)
    sums = query.new_empty(query.shape[:2], dtype=torch.float32) if lse else _no_lse(query)
    return output, sums


def _no_lse(query: torch.Tensor) -> torch.Tensor:
    return query.new_empty((0, 0), dtype=torch.float32)


@torch.library.custom_op("dustin::score", mutates_args=())
def score(
    queries: Sequence[torch.Tensor],
    key_caches: Sequence[torch.Tensor],
    block_table: torch.Tensor,
    lengths: torch.Tensor,
    map_starts: torch.Tensor,
    slots: torch.Tensor | None = None,
    *,
    heads: Sequence[int],
    query_heads: int,
    map_capacity: int,
    weights: Sequence[float] | None = None,
    layout: str = "NHD",
    scale: float | None = None,
    profile: str | None = None,
) -> torch.Tensor:
    """`dustin.score`: `queries` and `key_caches` of each layer, `heads` and `weights` of all layers one behind the
    other. Gives a new map, 0 where no sequence has a part of it.
    """
    if len(queries) != len(key_caches):
        raise ValueError(
            f"key_caches: must be one for each of the {len(queries)} queries, not {len(key_caches)}"
        )
    layers, at = [], 0
    for query, keys in zip(queries, key_caches):
        end = at + (query.shape[2] if query.dim() > 2 else 0)
        own = None if weights is None else weights[at:end]
        layers.append(ScoreLayer(query, keys, heads[at:end], own))
        at = end
    if at != len(heads):
        raise ValueError(f"heads: must be as many as the queries are of, {at}, not {len(heads)}")
    options: dict[str, Any] = {"query_heads": query_heads, "map_capacity": map_capacity, "slots": slots}
    options |= {"layout": layout, "scale": scale, "profile": _profile(profile)}
    scores: torch.Tensor = _score.score(layers, block_table, lengths, map_starts, **options)
    return scores


@score.register_fake
def _(
    queries: Sequence[torch.Tensor], *_arrays: object, map_capacity: int, **_options: object
) -> torch.Tensor:
    return queries[0].new_empty((map_capacity,), dtype=torch.float32)


@torch.library.custom_op("dustin::select", mutates_args=())
def select(
    lengths: torch.Tensor,
    map_starts: torch.Tensor,
    target: torch.Tensor | None = None,
    draft: torch.Tensor | None = None,
    target_slots: torch.Tensor | None = None,
    block_table: torch.Tensor | None = None,
    *,
    budget: int,
    quota: int = 0,
    sinks: int = 0,
    recent: int = 0,
    block: int = 1,
    pooling: int = 1,
    everything: int = 0,
    slots: int = 0,
    without_target: str = "everything",
    pages: int = 0,
    page_size: int = 0,
    profile: str | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`dustin.select`. Gives the sets, their sizes, and the sets as slots of the cache, of which there are none
    without a block table.
    """
    options: dict[str, Any] = {"target": target, "draft": draft, "quota": quota, "sinks": sinks}
    options |= {"recent": recent, "block": block, "pooling": pooling, "everything": everything}
    options |= {"target_slots": target_slots, "slots": slots, "without_target": without_target}
    options |= {"block_table": block_table, "pages": pages, "page_size": page_size}
    chosen = _select.select(lengths, map_starts, budget=budget, profile=_profile(profile), **options)
    physical = lengths.new_empty((0, 0)) if chosen.physical is None else chosen.physical
    return chosen.set, chosen.sizes, physical


@select.register_fake
def _(
    lengths: torch.Tensor,
    map_starts: torch.Tensor,
    target: torch.Tensor | None = None,
    draft: torch.Tensor | None = None,
    target_slots: torch.Tensor | None = None,
    block_table: torch.Tensor | None = None,
    *,
    budget: int,
    **_options: object,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    sets = (lengths.shape[0], budget)
    physical = (0, 0) if block_table is None else sets
    return lengths.new_empty(sets), lengths.new_empty(lengths.shape), lengths.new_empty(physical)


@torch.library.custom_op("dustin::append", mutates_args={"key_cache", "value_cache"})
def append(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    block_table: torch.Tensor,
    lengths: torch.Tensor,
    row_starts: torch.Tensor,
    *,
    rows: int,
    layout: str = "NHD",
    stable: bool = False,
) -> None:
    """`dustin.append`, of keys and values."""
    arrays = (key, value, key_cache, value_cache, block_table, lengths, row_starts)
    options: dict[str, Any] = {"rows": rows, "layout": layout, "stable": stable}
    _append.append(*arrays, **options)


@append.register_fake
def _(*_arrays: object, **_options: object) -> None:
    return None


@torch.library.custom_op("dustin::compact", mutates_args={"key_caches", "value_caches"})
def compact(
    key_caches: Sequence[torch.Tensor],
    value_caches: Sequence[torch.Tensor],
    accepted: torch.Tensor,
    block_table: torch.Tensor,
    lengths: torch.Tensor,
    row_starts: torch.Tensor,
    counts: torch.Tensor | None = None,
    *,
    rows: int,
    total_rows: int,
    layout: str = "NHD",
) -> None:
    """`dustin.compact`, with the caches of all layers."""
    options: dict[str, Any] = {"layout": layout}
    caches = Caches(key_caches, value_caches, **options)
    arrays = (accepted, block_table, lengths, row_starts)
    _compact.compact(caches, *arrays, rows=rows, total_rows=total_rows, counts=counts)


@compact.register_fake
def _(*_arrays: object, **_options: object) -> None:
    return None
