"""Writing a step's own rows to the caches of a layer."""

from typing import Any

from . import _kv, _library
from ._arrays import Array, address, stride
from ._call import Call
from ._context import Context
from ._kv import Layout


def append(
    key: Array,
    value: Array,
    key_cache: Array,
    value_cache: Array,
    block_table: Array,
    lengths: Array,
    row_starts: Array,
    *,
    rows: int,
    query: Array | None = None,
    query_copy: Array | None = None,
    layout: Layout = "NHD",
    stable: bool = False,
    context: Context | None = None,
    stream: Any = None,
    check: bool | None = None,
) -> None:
    """Writes keys and values of a step's rows to the positions behind each sequence's confirmed tokens, in
    place.

    key, value: after rotary embedding, of the caches' type, `[total_rows, kv_heads, head_dim]`.
    key_cache, value_cache: pages in `layout`, with any strides. block_table: physical pages, int32 `[batch,
    table_width]`.
    lengths: confirmed tokens, int32 `[batch]`. row_starts: first row of each sequence and, last, their
    number, int32 `[batch + 1]`. rows: the most rows of one sequence, 1 to 64.
    query, query_copy: queries of the rows and where attention reads them, `[total_rows, query_heads,
    head_dim]`, to have them copied in the same launch. For the others and for errors see `attention`.
    """
    arrays = {"key": key, "value": value, "key_cache": key_cache, "value_cache": value_cache, "query": query}
    arrays |= {
        "query_copy": query_copy,
        "block_table": block_table,
        "lengths": lengths,
        "row_starts": row_starts,
    }
    call = Call(arrays, context, stream)
    keys = _kv.key_cache(call, layout, "key_cache", writable=True)
    values = _kv.value_cache(call, keys, "value_cache", writable=True)
    kv = _kv.paged_kv(keys, layout)
    own_keys = call.array("key", keys.dtype, (None, kv.kv_heads, kv.head_dim), gaps=2)
    own_values = call.array("value", keys.dtype, own_keys.shape, gaps=2)
    table = call.array("block_table", "i32", (None, None), gaps=1)
    batch = table.shape[0]
    sequences = call.array("lengths", "i32", (batch,))
    starts = call.array("row_starts", "i32", (batch + 1,))
    if (query is None) != (query_copy is None):
        raise ValueError("query_copy: must be given with query, and only then")
    queries = call.optional("query", keys.dtype, (own_keys.shape[0], None, kv.head_dim), gaps=2)
    copies = call.optional("query_copy", keys.dtype, queries.shape if queries else (), gaps=2, writable=True)

    problem = _library.struct(
        "append_problem",
        batch=batch,
        rows=rows,
        total_rows=own_keys.shape[0],
        table_width=table.shape[1],
        query_heads=queries.shape[1] if queries else 0,
        kv=kv,
    )
    arguments = _library.struct(
        "append_args",
        stable=stable,
        block_table=table.address,
        lengths=sequences.address,
        row_starts=starts.address,
        key=own_keys.address,
        value=own_values.address,
        key_cache=keys.address,
        value_cache=values.address,
        query=address(queries),
        query_copy=address(copies),
        table_stride=stride(table, 0),
        key_row_stride=stride(own_keys, 0),
        key_head_stride=stride(own_keys, 1),
        value_row_stride=stride(own_values, 0),
        value_head_stride=stride(own_values, 1),
        query_row_stride=stride(queries, 0),
        query_head_stride=stride(queries, 1),
        query_copy_row_stride=stride(copies, 0),
        query_copy_head_stride=stride(copies, 1),
    )
    call.plan("append", problem, None, tuned=False).launch(arguments, call.stream, check)
