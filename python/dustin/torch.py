"""The package's functions as custom operations of torch, for `torch.compile`.

Importing this module registers `torch.ops.dustin.attention`, `score`, `select`, `append` and `compact`; its
functions of these names call them. They are the package's functions with tensors and plain numbers as
arguments, on torch's current stream: shapes, types and errors are documented there. Operations that give
something give new tensors, never `out=`; `append` and `compact` write to the caches. The verifier's stages,
contexts and named streams are for the functions: no operation has them.

Keys and values that are halves of one tensor come as that tensor, in the place of the keys, with `combined`:
the dimension of five, of size 2, along which keys come before values; a packed one, with a head's value
behind its key, has that after `unflatten(3, (2, -1))`. The place of the values is then None, or an empty
list. Two views of one tensor are no substitute where an operation writes: torch.compile's inductor (seen with
torch 2.11) copies arguments that are written and share a storage from the wrong place, silently. So `append`
and `compact` refuse such views while they are traced; one argument that is a slice of a larger pool is right.

A problem's first call plans and compiles, and may not be part of a CUDA graph: call once before a capture.
"""

import functools
from collections.abc import Iterable, Sequence
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


def _half(cache: torch.Tensor, combined: int | None, half: int, name: str) -> torch.Tensor:
    """The keys (0) or the values (1) of a tensor that holds both, if it is one; ValueError if it cannot be."""
    if combined is None:
        return cache
    if cache.dim() != 5 or not 0 <= combined < 4 or cache.shape[combined] != 2:
        must = f"with combined={combined} it must have five dimensions, that one, below 4, of size 2"
        raise ValueError(f"{name}: {must}, not the shape {list(cache.shape)}")
    return cache.select(combined, half)


def _caches(
    key_cache: torch.Tensor, value_cache: torch.Tensor | None, combined: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, from a tensor of each or from one of both."""
    if (value_cache is None) != (combined is not None):
        raise ValueError("value_cache: must be given without combined, and only then")
    other = key_cache if value_cache is None else value_cache
    return _half(key_cache, combined, 0, "key_cache"), _half(other, combined, 1, "key_cache")


def _refuse_shared(names: str, caches: Iterable[torch.Tensor], instead: str) -> None:
    """Refuses arguments that are written and that torch would copy wrongly: see the module."""
    storages = [cache.untyped_storage()._cdata for cache in caches]
    if len(set(storages)) < len(storages):
        must = "must not be views of one tensor under torch.compile, which would copy them wrongly"
        raise ValueError(f"{names}: {must}: pass that tensor as {instead}")


@torch.library.custom_op("dustin::attention", mutates_args=())
def attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
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
    combined: int | None = None,
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
    caches = _caches(key_cache, value_cache, combined)
    arrays = (query, *caches, block_table, lengths, row_starts)
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
    combined: int | None = None,
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
    layers: list[ScoreLayer] = []
    at = 0
    for query, keys in zip(queries, key_caches):
        end = at + (query.shape[2] if query.dim() > 2 else 0)
        own = None if weights is None else weights[at:end]
        cache = _half(keys, combined, 0, f"key_caches[{len(layers)}]")
        layers.append(ScoreLayer(query, cache, heads[at:end], own))
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
    value_cache: torch.Tensor | None,
    block_table: torch.Tensor,
    lengths: torch.Tensor,
    row_starts: torch.Tensor,
    *,
    rows: int,
    layout: str = "NHD",
    combined: int | None = None,
    stable: bool = False,
) -> None:
    """`dustin.append`, of keys and values."""
    caches = _caches(key_cache, value_cache, combined)
    options: dict[str, Any] = {"rows": rows, "layout": layout, "stable": stable}
    _append.append(key, value, *caches, block_table, lengths, row_starts, **options)


@append.register_fake
def _(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    *_arrays: object,
    **_options: object,
) -> None:
    if value_cache is not None:
        instead = "key_cache, with combined= for the dimension along which keys come before values"
        _refuse_shared("key_cache, value_cache", (key_cache, value_cache), instead)


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
    combined: int | None = None,
) -> None:
    """`dustin.compact`, with the caches of all layers. A tensor of one dimension more, which comes first, is those of
    several layers; `combined` counts the dimensions of a single one.
    """
    if combined is not None and value_caches:
        raise ValueError("value_caches: must be empty with combined")
    keys = _by_layer(key_caches, combined, 0, "key_caches")
    values = _by_layer(value_caches if combined is None else key_caches, combined, 1, "value_caches")
    options: dict[str, Any] = {"layout": layout}
    caches = Caches(keys, values, **options)
    arrays = (accepted, block_table, lengths, row_starts)
    _compact.compact(caches, *arrays, rows=rows, total_rows=total_rows, counts=counts)


def _by_layer(
    caches: Sequence[torch.Tensor], combined: int | None, half: int, name: str
) -> list[torch.Tensor]:
    """The keys (0) or the values (1) of each layer."""
    dimensions = 4 if combined is None else 5
    layers = [one for cache in caches for one in (cache if cache.dim() > dimensions else (cache,))]
    return [_half(one, combined, half, f"{name}[{i}]") for i, one in enumerate(layers)]


@compact.register_fake
def _(
    key_caches: Sequence[torch.Tensor],
    value_caches: Sequence[torch.Tensor],
    *_arrays: object,
    **_options: object,
) -> None:
    instead = (
        "one of key_caches, with layers as its first dimension, or combined= for that of keys and values"
    )
    _refuse_shared("key_caches, value_caches", (*key_caches, *value_caches), instead)
