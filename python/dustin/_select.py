"""Verification sets from importance maps."""

from dataclasses import dataclass
from typing import Any, Literal

from . import _library
from ._arrays import Array, address, stride
from ._call import Call
from ._context import Context
from ._profile import Profile


@dataclass(frozen=True)
class Selection:
    """The set of each sequence; what lies behind a set's size is -1, unless the array was given."""

    set: Array
    """Positions, ascending, int32 `[batch, budget]`."""
    sizes: Array
    """Positions of each set, or -1 for all of its sequence, int32 `[batch]`."""
    physical: Array | None
    """The same tokens as slots of the cache, int32 `[batch, budget]`, if there is a block table."""


def select(
    lengths: Array,
    map_starts: Array,
    *,
    budget: int,
    target: Array | None = None,
    draft: Array | None = None,
    quota: int = 0,
    sinks: int = 0,
    recent: int = 0,
    block: int = 1,
    pooling: int = 1,
    everything: int = 0,
    target_slots: Array | None = None,
    slots: int = 0,
    without_target: Literal["everything", "draft"] = "everything",
    block_table: Array | None = None,
    pages: int = 0,
    page_size: int = 0,
    out: Selection | None = None,
    profile: Profile | None = None,
    context: Context | None = None,
    stream: Any = None,
    check: bool | None = None,
) -> Selection:
    """Chooses sinks and recent tokens, then the best of the draft's map, as many as the quota, then the best
    of the target's.

    Ties go to the lower position. A sequence of at most `budget` tokens is taken whole.

    lengths: confirmed tokens, int32 `[batch]`. map_starts: first position of each sequence's part of the maps
    and, last, the end, int32 `[batch + 1]`. target, draft: maps, float32 `[map_capacity]`, those that are to
    be read.
    budget: the most positions of a set, 1 to 4096. quota: how many come from the draft's map; all without a
    target's.
    block: positions chosen together, by the sum of their scores. pooling: positions that a score is averaged
    over first; odd.
    everything: sequences of at most so many positions get size -1. target_slots: the slot, of `slots`, that
    each sequence's target map was scored from, int32 `[batch]`, negative where it has none; then
    `without_target` says what it gets.
    block_table, pages, page_size: int32 `[batch, table_width]` and its cache, to have slots of the cache,
    too. For the others and for errors see `attention`.
    """
    arrays = {"lengths": lengths, "map_starts": map_starts, "target": target, "draft": draft}
    call = Call(arrays | {"target_slots": target_slots, "block_table": block_table}, context, stream)
    sequences = call.array("lengths", "i32", (None,))
    batch = sequences.shape[0]
    starts = call.array("map_starts", "i32", (batch + 1,))
    target_map = call.optional("target", "f32", (None,))
    draft_map = call.optional("draft", "f32", target_map.shape if target_map else (None,))
    of_slots = call.optional("target_slots", "i32", (batch,))
    table = call.optional("block_table", "i32", (batch, None), gaps=1)
    if of_slots is not None and slots == 0:
        raise ValueError("slots: must say how many there are, with target_slots")
    if without_target not in ("everything", "draft"):
        raise ValueError(f"without_target: must be 'everything' or 'draft', not {without_target!r}")

    read = next((one for one in (target_map, draft_map) if one is not None), None)
    if out is None:
        shape = (batch, budget)
        entries = call.empty(lengths, shape, "i32", fill=-1)
        physical = None if table is None else call.empty(lengths, shape, "i32", fill=-1)
        out = Selection(entries, call.empty(lengths, (batch,), "i32"), physical)
    chosen = call.array("out.set", "i32", (batch, budget), gaps=1, writable=True, value=out.set)
    sizes = call.array("out.sizes", "i32", (batch,), writable=True, value=out.sizes)
    if (out.physical is None) != (table is None):
        raise ValueError("out.physical: must be given with a block_table, and only then")
    looked_up = None
    if out.physical is not None:
        looked_up = call.array(
            "out.physical", "i32", (batch, budget), gaps=1, writable=True, value=out.physical
        )
        if looked_up.strides != chosen.strides:
            raise looked_up.error(
                f"the strides must be those of out.set, {chosen.strides}", looked_up.strides
            )

    maps = {(1, 1): "BOTH", (1, 0): "TARGET", (0, 1): "DRAFT", (0, 0): "NEITHER"}[
        target is not None, draft is not None
    ]
    problem = _library.struct(
        "select_problem",
        batch=batch,
        # Without maps their parts are of no more use than as a bound.
        map_capacity=read.shape[0] if read else 2**31 - 1,
        budget=budget,
        maps=_library.constant(f"MAPS_{maps}"),
        quota=quota,
        sinks=sinks,
        recent=recent,
        block=block,
        pooling=pooling,
        everything=everything,
        slots=slots if of_slots else 0,
        without_target=_library.constant(f"FALLBACK_{without_target.upper()}"),
        pages=pages if table else 0,
        page_size=page_size if table else 0,
        table_width=table.shape[1] if table else 0,
    )
    arguments = _library.struct(
        "select_args",
        map_starts=starts.address,
        lengths=sequences.address,
        set=chosen.address,
        set_sizes=sizes.address,
        target=address(target_map),
        draft=address(draft_map),
        target_slots=address(of_slots),
        block_table=address(table),
        physical=address(looked_up),
        table_stride=stride(table, 0),
        set_stride=stride(chosen, 0),
    )
    call.plan("select", problem, profile, tuned=True).launch(arguments, call.stream, check)
    return out
