"""Importance maps from the attention of chosen heads."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import _arrays, _kv, _library
from ._arrays import HALF, Array, address, stride
from ._call import Call
from ._context import Context
from ._kv import Layout
from ._profile import Profile


@dataclass(frozen=True)
class ScoreLayer:
    """The heads of one layer whose attention is gathered."""

    query: Array
    """Captured queries after rotary embedding, bf16 or f16 `[slots, tokens, heads, head_dim]`; of all layers
    the same strides.
    """
    key_cache: Array
    """The layer's key cache after rotary embedding; of all layers the same shape and strides."""
    heads: Sequence[int]
    """Query heads of this rank, ascending, in the order of `query`."""
    weights: Sequence[float] | None = None
    """What each head's probabilities are multiplied by; None for the mean over all heads, layers and captured
    tokens.
    """


def score(
    layers: Sequence[ScoreLayer],
    block_table: Array,
    lengths: Array,
    map_starts: Array,
    *,
    query_heads: int,
    map_capacity: int | None = None,
    out: Array | None = None,
    accumulate: bool = False,
    slots: Array | None = None,
    layout: Layout = "NHD",
    scale: float | None = None,
    profile: Profile | None = None,
    context: Context | None = None,
    stream: Any = None,
    check: bool | None = None,
) -> Array:
    """Gathers a map: `map[j] = sum over heads of weight * sum over captured tokens of softmax_j(scale * q .
    k_j)`.

    layers: heads, captured queries and keys. block_table: physical pages, int32 `[batch, table_width]`, for
    every layer.
    lengths: confirmed tokens, int32 `[batch]`. map_starts: first position of each sequence's part of the map
    and, last, the end, int32 `[batch + 1]`; no two parts overlap.
    query_heads: query heads of this rank. map_capacity: positions of a new map; None if `out` is given.
    out: the map, float32 `[map_capacity]`; with `accumulate` it is added to. What no sequence has a part of
    is left as it is.
    slots: the slot of each sequence's queries, int32 `[batch]`, negative where it has none; None for that of
    its own number.
    scale: of the softmax; None for 1 / sqrt(head_dim). For the others and for errors see `attention`.

    Gives the map.
    """
    if not layers:
        raise ValueError("layers: must have at least one layer")
    if out is None and (map_capacity is None or accumulate):
        raise ValueError("out: must be given without map_capacity, and to accumulate")
    arrays = {"layers[0].query": layers[0].query, "block_table": block_table, "lengths": lengths}
    call = Call(arrays | {"map_starts": map_starts, "slots": slots}, context, stream)
    table = call.array("block_table", "i32", (None, None), gaps=1)
    batch = table.shape[0]
    sequences = call.array("lengths", "i32", (batch,))
    starts = call.array("map_starts", "i32", (batch + 1,))
    own_slots = call.optional("slots", "i32", (batch,))
    made = call.empty(layers[0].query, (map_capacity or 0,), "f32", fill=0) if out is None else out
    scores = call.array("out", "f32", (None,), writable=True, value=made)

    queries = [_queries(call, layer, f"layers[{i}]") for i, layer in enumerate(layers)]
    keys = [
        _kv.key_cache(call, layout, f"layers[{i}].key_cache", value=one.key_cache)
        for i, one in enumerate(layers)
    ]
    for query, key in zip(queries[1:], keys[1:]):
        if query.strides[:2] != queries[0].strides[:2] or query.shape[:2] != queries[0].shape[:2]:
            raise query.error("slots, tokens and strides must be those of layers[0]", list(query.shape))
        if (key.shape, key.strides) != (keys[0].shape, keys[0].strides):
            raise key.error("shape and strides must be those of layers[0]", list(key.shape))
    heads = tuple(
        (tuple(layer.heads), None if layer.weights is None else tuple(layer.weights)) for layer in layers
    )
    problem = _library.struct(
        "score_problem",
        batch=batch,
        map_capacity=scores.shape[0],
        tokens=queries[0].shape[1],
        slots=queries[0].shape[0],
        query_heads=query_heads,
        table_width=table.shape[1],
        dtype=_kv.dtype_constant(queries[0].dtype),
        kv=_kv.paged_kv(keys[0], layout),
        layers=_heads(heads),
        layer_count=len(layers),
        accumulate=accumulate,
    )
    of_layer = _library.header().structs["dustin_score_layer"]
    listed = [of_layer(query=query.address, key=key.address) for query, key in zip(queries, keys)]
    arguments = _library.struct(
        "score_args",
        scale=1 / math.sqrt(queries[0].shape[3]) if scale is None else scale,
        layers=(of_layer * len(listed))(*listed),
        block_table=table.address,
        lengths=sequences.address,
        map_starts=starts.address,
        map=scores.address,
        slots=address(own_slots),
        query_slot_stride=stride(queries[0], 0),
        query_token_stride=stride(queries[0], 1),
        query_head_stride=stride(queries[0], 2),
        table_stride=stride(table, 0),
    )
    call.plan("score", problem, profile, tuned=True, lists=heads).launch(arguments, call.stream, check)
    return made


def _queries(call: Call, layer: ScoreLayer, name: str) -> _arrays.View:
    keys = _arrays.view(layer.key_cache, f"{name}.key_cache", call.stream)
    head_dim = keys.shape[-1] if keys.shape else None
    shape = (None, None, len(layer.heads), head_dim)
    return call.array(f"{name}.query", HALF, shape, gaps=3, value=layer.query)


def _heads(layers: tuple[tuple[tuple[int, ...], tuple[float, ...] | None], ...]) -> ctypes.Array[Any]:
    """The heads of all layers as the ABI has them; the structs keep the lists that they point to."""
    of_layer = _library.header().structs["dustin_score_heads"]
    made = []
    for heads, weights in layers:
        if weights is not None and len(weights) != len(heads):
            raise ValueError(f"layers: weights must be as many as heads, {len(heads)}, not {len(weights)}")
        one = of_layer(heads=(ctypes.c_uint32 * len(heads))(*heads), count=len(heads))
        if weights is not None:
            one.weights = (ctypes.c_float * len(weights))(*weights)
        made.append(one)
    return (of_layer * len(made))(*made)
