"""Acceptance: which drafts each sequence keeps, and its next token."""

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _arrays, _library
from ._arrays import Array, address, stride
from ._call import Call

if TYPE_CHECKING:
    from ._verifier import Verifier


@dataclass(frozen=True)
class Accepted:
    """What a step has come to."""

    counts: Array
    """Accepted drafts of each sequence, int32 `[max_batch]`."""
    tokens: Array
    """Their tokens and, last, the next pending one, int32 `[max_batch, rows]`; -1 behind it."""
    path: Array
    """Accepted rows, the pending token's first, int32 `[max_batch, rows]`; -1 behind them: what `compact`
    takes.
    """
    last_rows: Array
    """The last of them, int32 `[max_batch]`: what `capture_target` takes."""
    lengths: Array
    """Confirmed lengths behind the step, int32 `[max_batch]`."""


def arguments(
    call: Call, verifier: "Verifier", like: Array, out: Accepted | None
) -> tuple[ctypes.Structure, Accepted]:
    """The arrays of one acceptance as the C ABI has them, and those that it writes: `out`, or new ones of the
    library of `like`.
    """
    rule, limits, sizes = verifier.acceptance, verifier.limits, verifier.sizes
    if rule is None:
        raise ValueError("acceptance: the verifier was made without it")
    batch, lists = (limits.max_batch,), (limits.max_batch, limits.rows)
    all_rows = limits.max_batch * limits.rows
    vocabulary = sizes["target_scores"] // all_rows
    if out is None:
        made = [call.empty(like, shape, "i32") for shape in (batch, lists, lists, batch, batch)]
        out = Accepted(*made)

    scores = call.array("scores", rule.target_type, (all_rows, vocabulary), gaps=1)
    tree = verifier.mask == "tree"
    if (rule.draft_type is None) != (call.arrays["draft_scores"] is None):
        raise ValueError("draft_scores: must be given if the rule has a draft_type, and only then")
    drafts = None
    if rule.draft_type is not None:
        shape = (sizes["draft_scores"] // vocabulary, vocabulary)
        drafts = call.array("draft_scores", rule.draft_type, shape, gaps=1)
    for name, needed in (("parents", tree), ("draft_rows", tree and drafts is not None)):
        if needed != (call.arrays[name] is not None):
            raise ValueError(f"{name}: must {'be' if needed else 'not be'} given here")

    def written(name: str, shape: tuple[int, ...], gaps: int = 0) -> _arrays.View:
        value = getattr(out, name)
        return call.array(f"out.{name}", "i32", shape, gaps=gaps, writable=True, value=value)

    tokens, path = written("tokens", lists, 1), written("path", lists, 1)
    struct = _library.struct(
        "acceptance_args",
        target=scores.address,
        tokens=call.array("tokens", "i32", (all_rows,)).address,
        temperatures=call.array("temperatures", "f32", batch).address,
        seeds=call.array("seeds", ("u64", "i64"), batch).address,
        step=call.array("steps_taken", ("u64", "i64"), (1,), writable=True).address,
        accepted=written("counts", batch).address,
        emitted=tokens.address,
        path=path.address,
        last_rows=written("last_rows", batch).address,
        new_lengths=written("lengths", batch).address,
        draft=address(drafts),
        draft_rows=address(call.optional("draft_rows", "i32", (all_rows,))),
        parents=address(call.optional("parents", "i32", (all_rows,))),
        target_row_stride=stride(scores, 0),
        draft_row_stride=stride(drafts, 0),
        emitted_stride=stride(tokens, 0),
        path_stride=stride(path, 0),
    )
    return struct, out
