"""Attention of one layer over confirmed tokens and the step's own rows."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from . import _arrays, _kv, _library
from ._arrays import HALF, Array, address, stride
from ._call import Call
from ._context import Context
from ._kv import Layout
from ._profile import Profile


@dataclass(frozen=True)
class Window:
    """The first `sinks` and the last `recent` confirmed tokens of each sequence."""

    sinks: int
    recent: int


@dataclass(frozen=True)
class Sets:
    """Confirmed tokens that are listed.

    `entries` is int32 `[batch, capacity]`, shared by all KV heads, or `[batch, kv_heads, capacity]`; `sizes`
    int32 `[batch]` or `[batch, kv_heads]`, the tokens of each set, or -1 for all of its sequence. `select`
    makes both.
    """

    entries: Array
    sizes: Array
    block: int = 1
    """Tokens that one entry stands for: a power of two up to 256. `capacity` counts entries."""
    slots: bool = False
    """Whether entries are slots of the cache, `page * page_size + token`, which nobody checks, in place of
    positions.
    """


@dataclass(frozen=True)
class Attended:
    """What attention gives."""

    output: Array
    """`[total_rows, query_heads, head_dim]`; rows of no sequence are undefined, unless the array was
    given.
    """
    lse: Array | None
    """The log-sum-exp, float32 `[total_rows, query_heads]`, if it was asked for; -inf where a row sees
    nothing.
    """


def attention(
    query: Array,
    key_cache: Array,
    value_cache: Array,
    block_table: Array,
    lengths: Array,
    row_starts: Array,
    *,
    rows: int,
    tokens: Sets | Window | None = None,
    masks: Array | None = None,
    layout: Layout = "NHD",
    scale: float | None = None,
    out: Array | None = None,
    out_dtype: Literal["rounded", "f32"] = "rounded",
    lse: Array | bool = False,
    lse_base: Literal["e", "two"] = "e",
    batch_invariant: bool = False,
    stable: bool = False,
    profile: Profile | None = None,
    context: Context | None = None,
    stream: Any = None,
    check: bool | None = None,
) -> Attended:
    """Attends from a step's own rows to confirmed tokens, and to those own rows that the mask allows.

    query: bf16 or f16 `[total_rows, query_heads, head_dim]` after rotary embedding; items of a head without
    gaps.
    key_cache, value_cache: pages in `layout`, with any strides, in which the own rows lie at positions length
    and following.
    block_table: physical pages, int32 `[batch, table_width]`. lengths: confirmed tokens, int32 `[batch]`.
    row_starts: first row of each sequence and, last, their number, int32 `[batch + 1]`.
    rows: the most rows of one sequence, 1 to 64.
    tokens: the confirmed tokens that are read; None for all.
    masks: for trees, uint64 or int64 `[total_rows]`, bit j for the sequence's row j, its own included; None
    for causal.
    scale: of the softmax; None for 1 / sqrt(head_dim).
    out: of `out_dtype`, which is the queries' type or f32; None for a new array. lse: whether it is asked
    for, or its array.
    stable: that the launch before on the stream leaves all that this one reads but queries and own rows as it
    is.
    profile: where the choice of a variant comes from; None for the built-in one.
    stream: None for torch's current stream. check: whether to wait for faults; None for on a CPU alone.

    TypeError and ValueError name an argument that is not so, Error is the library's refusal, FaultError what
    arrays contain.
    """
    arrays = {"query": query, "block_table": block_table, "lengths": lengths, "row_starts": row_starts}
    arrays |= {"key_cache": key_cache, "value_cache": value_cache, "masks": masks, "out": out}
    call = Call(arrays, context, stream)
    queries = call.array("query", HALF, (None, None, None), gaps=2)
    keys = _kv.key_cache(call, layout, "key_cache")
    values = _kv.value_cache(call, keys, "value_cache")
    table = call.array("block_table", "i32", (None, None), gaps=1)
    batch = table.shape[0]
    kv_heads = keys.shape[2 if layout == "NHD" else 1]
    sequences = call.array("lengths", "i32", (batch,))
    starts = call.array("row_starts", "i32", (batch + 1,))
    tree = call.optional("masks", ("u64", "i64"), (queries.shape[0],))
    chosen, sizes, fields = _tokens(call, tokens, batch, kv_heads)

    if out_dtype not in ("rounded", "f32"):
        raise ValueError(f"out_dtype: must be 'rounded' or 'f32', not {out_dtype!r}")
    if lse_base not in ("e", "two"):
        raise ValueError(f"lse_base: must be 'e' or 'two', not {lse_base!r}")
    item = "f32" if out_dtype == "f32" else queries.dtype
    output = call.empty(query, queries.shape, item) if out is None else out
    outputs = call.array("out", item, queries.shape, gaps=2, writable=True, value=output)
    sums = call.empty(query, queries.shape[:2], "f32") if lse is True else None if lse is False else lse
    log_sums = (
        None if sums is None else call.array("lse", "f32", queries.shape[:2], writable=True, value=sums)
    )

    problem = _library.struct(
        "attention_problem",
        batch=batch,
        rows=rows,
        total_rows=queries.shape[0],
        query_heads=queries.shape[1],
        table_width=table.shape[1],
        dtype=_kv.dtype_constant(queries.dtype),
        kv=_kv.paged_kv(keys, layout),
        mask=_library.constant("MASK_CAUSAL" if tree is None else "MASK_TREE"),
        lse=sums is not None,
        batch_invariant=batch_invariant,
        **fields,
    )
    if queries.shape[2] != problem.kv.head_dim:
        raise queries.error(
            f"the last dimension must be the caches' head_dim, {problem.kv.head_dim}", queries.shape[2]
        )
    arguments = _library.struct(
        "attention_args",
        scale=1 / math.sqrt(queries.shape[2]) if scale is None else scale,
        query=queries.address,
        key=keys.address,
        value=values.address,
        block_table=table.address,
        lengths=sequences.address,
        row_starts=starts.address,
        output=outputs.address,
        set=address(chosen),
        set_sizes=address(sizes),
        masks=address(tree),
        lse=address(log_sums),
        query_row_stride=stride(queries, 0),
        query_head_stride=stride(queries, 1),
        output_row_stride=stride(outputs, 0),
        output_head_stride=stride(outputs, 1),
        table_stride=stride(table, 0),
        set_stride=stride(chosen, 0),
        set_head_stride=0 if chosen is None or len(chosen.shape) == 2 else stride(chosen, 1),
        output_type=_library.constant(f"OUTPUT_TYPE_{out_dtype.upper()}"),
        lse_base=_library.constant(f"LOG_BASE_{lse_base.upper()}"),
        stable=stable,
    )
    call.plan("attention", problem, profile, tuned=True).launch(arguments, call.stream, check)
    return Attended(output, sums)


def _tokens(
    call: Call, tokens: Sets | Window | None, batch: int, kv_heads: int
) -> tuple[Any, Any, dict[str, int]]:
    """Entries and sizes of sets, if there are any, and what the problem says of the tokens that are read."""
    if tokens is None:
        return None, None, {"confirmed": _library.constant("CONFIRMED_EVERYTHING")}
    if isinstance(tokens, Window):
        window = _library.constant("CONFIRMED_WINDOW")
        return None, None, {"confirmed": window, "sinks": tokens.sinks, "recent": tokens.recent}
    if not isinstance(tokens, Sets):
        raise TypeError(f"tokens: must be Sets, Window or None, not {type(tokens).__name__}")
    sizes = _arrays.view(tokens.sizes, "tokens.sizes")
    heads = (kv_heads,) if len(sizes.shape) == 2 else ()
    call.array("tokens.sizes", "i32", (batch, *heads), value=tokens.sizes)
    shape = (batch, *heads, None)
    entries = call.array("tokens.entries", "i32", shape, gaps=len(shape) - 1, value=tokens.entries)
    return (
        entries,
        sizes,
        {
            "confirmed": _library.constant("CONFIRMED_SETS"),
            "set_capacity": entries.shape[-1] * tokens.block,
            "set_block": tokens.block,
            "set_entries": _library.constant("ENTRIES_SLOTS" if tokens.slots else "ENTRIES_POSITIONS"),
            "set_per_kv_head": len(heads),
        },
    )
