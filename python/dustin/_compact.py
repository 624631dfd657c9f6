"""Moving a tree's accepted rows up behind the confirmed tokens."""

from collections.abc import Sequence
from typing import Any

from . import _kv, _library
from ._arrays import Array, address, stride
from ._call import Call
from ._context import Context
from ._kv import Layout


class Caches:
    """The caches of all layers, with the list of their addresses in the memory of their context: made once,
    before the steps.

    keys, values: for each layer pages in `layout`, bf16 or f16; all of the same shape and strides. They are
    kept.
    """

    def __init__(
        self,
        keys: Sequence[Array],
        values: Sequence[Array],
        *,
        layout: Layout = "NHD",
        context: Context | None = None,
    ) -> None:
        if not keys or len(keys) != len(values):
            raise ValueError(
                f"values: must be as many caches as keys, at least one, not {len(values)} for {len(keys)}"
            )
        self.arrays = (tuple(keys), tuple(values))
        call = Call({"keys[0]": keys[0]}, context, None)
        self.context = call.context
        views = [
            _kv.key_cache(call, layout, f"keys[{i}]", value=one, writable=True) for i, one in enumerate(keys)
        ]
        others = [
            _kv.value_cache(call, views[0], f"{name}[{i}]", value=one, writable=True)
            for name, listed in (("keys", keys), ("values", values))
            for i, one in enumerate(listed)
        ]
        self.kv = _kv.paged_kv(views[0], layout)
        addresses = [view.address for view in others]
        self.layers = len(keys)
        self.key_addresses = self.context.addresses(tuple(addresses))
        self.value_addresses = self.key_addresses + 8 * self.layers


def compact(
    caches: Caches,
    accepted: Array,
    block_table: Array,
    lengths: Array,
    row_starts: Array,
    *,
    rows: int,
    total_rows: int,
    counts: Array | None = None,
    stream: Any = None,
    check: bool | None = None,
) -> None:
    """Moves row number i of each sequence's list to position length + i in the caches of all layers, in
    place.

    accepted: numbers of each sequence's own rows, from 0, ascending, int32 `[batch, capacity]`; a negative
    one ends a list unless `counts`, int32 `[batch]`, says how many there are. block_table: physical pages,
    int32 `[batch, table_width]`.
    lengths: confirmed tokens before the step, int32 `[batch]`. row_starts: first row of each sequence and,
    last, their number, int32 `[batch + 1]`. rows: the most rows of one sequence, 1 to 64; total_rows: rows of
    the batch. For the others and for errors see `attention`.
    """
    arrays = {"accepted": accepted, "block_table": block_table, "lengths": lengths, "row_starts": row_starts}
    call = Call(arrays | {"counts": counts}, caches.context, stream)
    lists = call.array("accepted", "i32", (None, None), gaps=1)
    batch = lists.shape[0]
    table = call.array("block_table", "i32", (batch, None), gaps=1)
    sequences = call.array("lengths", "i32", (batch,))
    starts = call.array("row_starts", "i32", (batch + 1,))
    listed = call.optional("counts", "i32", (batch,))
    problem = _library.struct(
        "compact_problem",
        batch=batch,
        rows=rows,
        total_rows=total_rows,
        table_width=table.shape[1],
        layers=caches.layers,
        accepted=lists.shape[1],
        counted=listed is not None,
        kv=caches.kv,
    )
    arguments = _library.struct(
        "compact_args",
        block_table=table.address,
        lengths=sequences.address,
        row_starts=starts.address,
        key_caches=caches.key_addresses,
        value_caches=caches.value_addresses,
        accepted=lists.address,
        accepted_counts=address(listed),
        table_stride=stride(table, 0),
        accepted_stride=stride(lists, 0),
    )
    call.plan("compact", problem, None, tuned=False).launch(arguments, call.stream, check)
