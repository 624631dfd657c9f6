"""Caches and page tables as engines keep them, as those that functions take."""

import ctypes
from dataclasses import dataclass, replace
from typing import Any, Literal

from . import _library
from ._arrays import CPU, Array, address, stride
from ._call import Call


def split_cache(cache: Array, tensor: Literal["pages_first", "keys_first", "packed"]) -> tuple[Array, Array]:
    """Keys and values of a cache that is one array, of torch or numpy, as views: nothing is copied.

    tensor: where they lie. `pages_first` is `[pages, 2, page_size, kv_heads, head_dim]`, FlashInfer's single
    tensor and that of vLLM's backends with blocks first; `keys_first` is `[2, pages, page_size, kv_heads,
    head_dim]`, of vLLM's FlashAttention backend; `packed` is `[pages, page_size, kv_heads, 2 * head_dim]`, a
    head's value behind its key. Each also with heads before tokens. The layout that functions are told is the
    order in which the shape has them, whatever lies in memory: vLLM's is NHD.
    """
    shape = tuple(cache.shape)
    if tensor == "packed":
        if len(shape) != 4 or shape[3] % 2:
            raise ValueError(f"cache: must have four dimensions, the last of an even size, not {list(shape)}")
        half = shape[3] // 2
        return cache[..., :half], cache[..., half:]
    if tensor not in ("pages_first", "keys_first"):
        raise ValueError(f"tensor: must be 'pages_first', 'keys_first' or 'packed', not {tensor!r}")
    at = 1 if tensor == "pages_first" else 0
    if len(shape) != 5 or shape[at] != 2:
        raise ValueError(f"cache: must have five dimensions, of which number {at} is 2, not {list(shape)}")
    return (cache[:, 0], cache[:, 1]) if at else (cache[0], cache[1])


@dataclass(frozen=True)
class BlockTables:
    """vLLM's addressing, which functions take."""

    block_table: Array
    """Physical pages, int32 `[batch, table_width]`; -1 behind a sequence's last."""
    lengths: Array
    """Confirmed tokens, int32 `[batch]`."""


@dataclass(frozen=True)
class CsrTables:
    """FlashInfer's addressing: the pages of all sequences, one behind the other."""

    indptr: Array
    """Where each sequence's pages begin and, last, their number, int32 `[batch + 1]`."""
    indices: Array
    """Physical pages, int32 `[pages]`."""
    last_page_len: Array
    """Tokens in each sequence's last page, int32 `[batch]`."""


def csr_to_block_tables(
    csr: CsrTables,
    *,
    page_size: int,
    table_width: int,
    batch: int | None = None,
    row_starts: Array | None = None,
) -> BlockTables:
    """Block tables and confirmed lengths of sequences in compressed rows, in host memory.

    table_width: pages of a sequence's table. batch: sequences of the result, of which those behind `csr`'s have
    length 0; None for as many. row_starts: first row of each sequence of `csr` and, last, their number, int32
    `[batch + 1]`, if the compressed rows have room for a step's own rows, as FlashInfer's have. Error if the
    parts do not fit.
    """
    call = _host(
        {"indptr": csr.indptr, "indices": csr.indices, "last_page_len": csr.last_page_len}, row_starts
    )
    sequences = call.array("last_page_len", "i32", (None,)).shape[0]
    batch = sequences if batch is None else batch
    made = BlockTables(
        call.empty(csr.indptr, (batch, table_width), "i32"), call.empty(csr.indptr, (batch,), "i32")
    )
    source, tables = _csr(call, csr, sequences), _tables(call, made)
    starts = address(call.optional("row_starts", "i32", (sequences + 1,)))
    read = (ctypes.byref(source), page_size, _numbers(starts), ctypes.byref(tables))
    _library.call("csr_to_block_tables", *read)
    return made


def block_tables_to_csr(tables: BlockTables, *, page_size: int, row_starts: Array | None = None) -> CsrTables:
    """The reverse: compressed rows with room for a step's own rows, of which `row_starts`, int32 `[batch + 1]`,
    says how many each sequence has; None for none.
    """
    call = _host({"block_table": tables.block_table, "lengths": tables.lengths}, row_starts)
    source = _tables(call, tables)
    batch, width = source.batch, source.table_width
    made = CsrTables(
        *(call.empty(tables.lengths, (size,), "i32") for size in (batch + 1, batch * width, batch))
    )
    target, starts = _csr(call, made, batch), address(call.optional("row_starts", "i32", (batch + 1,)))
    read = (ctypes.byref(source), page_size, _numbers(starts), ctypes.byref(target))
    pages = _library.number("csr_from_block_tables", *read, kind=ctypes.c_uint64)
    return replace(made, indices=made.indices[:pages])


def _host(arrays: dict[str, Any], row_starts: Array | None) -> Call:
    """A call whose arrays lie in host memory."""
    call = Call(arrays | {"row_starts": row_starts}, None, None)
    if call.context.device != CPU:
        raise ValueError(f"{next(iter(arrays))}: must lie in host memory")
    return call


def _numbers(at: int | None) -> Any:
    return None if at is None else ctypes.cast(at, ctypes.POINTER(ctypes.c_int32))


def _csr(call: Call, csr: CsrTables, batch: int) -> ctypes.Structure:
    indices = call.array("indices", "i32", (None,), value=csr.indices)
    return _library.struct(
        "csr_tables",
        batch=batch,
        indptr=_numbers(call.array("indptr", "i32", (batch + 1,), value=csr.indptr).address),
        indices=_numbers(indices.address),
        last_page_len=_numbers(call.array("last_page_len", "i32", (batch,), value=csr.last_page_len).address),
        capacity=indices.shape[0],
    )


def _tables(call: Call, tables: BlockTables) -> ctypes.Structure:
    table = call.array("block_table", "i32", (None, None), gaps=1, value=tables.block_table)
    lengths = call.array("lengths", "i32", (table.shape[0],), value=tables.lengths)
    return _library.struct(
        "block_tables",
        batch=table.shape[0],
        block_table=_numbers(table.address),
        lengths=_numbers(lengths.address),
        table_width=table.shape[1],
        stride=stride(table, 0),
    )
