"""The arrays of a step that do not depend on the layer, and the workspace of its stages."""

import ctypes
from typing import TYPE_CHECKING, Any

from . import _arrays, _library
from ._arrays import Array, View, address, stride
from ._call import Call
from ._handle import Handle

if TYPE_CHECKING:
    from ._verifier import Verifier


class Step(Handle):
    """Arrays that a verifier's stages share, and their workspace. Made once; its arrays are filled anew for
    each step.

    Steps that overlap in time need one each. Maps, sets and sizes are what stages write.
    """

    def __init__(
        self,
        verifier: "Verifier",
        lengths: Array,
        row_starts: Array,
        block_table: Array,
        map_starts: Array,
        *,
        slots: Array | None = None,
        masks: Array | None = None,
        draft_lengths: Array | None = None,
        draft_block_table: Array | None = None,
        draft_slots: Array | None = None,
        stream: Any = None,
    ) -> None:
        """Use `Verifier.step`, which says what the arrays are."""
        limits, sizes = verifier.limits, verifier.sizes
        given = {"lengths": lengths, "row_starts": row_starts, "block_table": block_table}
        given |= {"map_starts": map_starts, "slots": slots, "masks": masks, "draft_lengths": draft_lengths}
        given |= {"draft_block_table": draft_block_table, "draft_slots": draft_slots}
        call = Call(given, verifier.context, stream)
        batch = (limits.max_batch,)
        starts = (limits.max_batch + 1,)
        tables = ((*batch, sizes["target_table_width"]), (*batch, sizes["draft_table_width"]))

        def made(shape: tuple[int, ...], dtype: str, size: int, fill: int) -> Any:
            return call.empty(lengths, shape, dtype, fill=fill) if size else None

        entries = (limits.max_batch, sizes["set"] // limits.max_batch)
        self.target_map = made((sizes["target_map"],), "f32", sizes["target_map"], 0)
        self.draft_map = made((sizes["draft_map"],), "f32", sizes["draft_map"], 0)
        self.set = made(entries, "i32", sizes["set"], -1)
        self.physical = made(entries, "i32", sizes["physical"], -1)
        self.set_sizes = made(batch, "i32", sizes["set_sizes"], 0)
        written = {
            name: getattr(self, name) for name in ("target_map", "draft_map", "set", "physical", "set_sizes")
        }
        outputs = {name: _of(name, array) for name, array in written.items()}
        table = call.array("block_table", "i32", tables[0], gaps=1)
        draft_table = call.optional("draft_block_table", "i32", tables[1], gaps=1)
        inputs: dict[str, View | None] = {
            "lengths": call.array("lengths", "i32", batch),
            "row_starts": call.array("row_starts", "i32", starts),
            "block_table": table,
            "map_starts": call.array("map_starts", "i32", starts),
            "slots": call.optional("slots", "i32", batch),
            "masks": call.optional("masks", ("u64", "i64"), (limits.max_batch * limits.rows,)),
            "draft_lengths": call.optional("draft_lengths", "i32", batch),
            "draft_block_table": draft_table,
            "draft_slots": call.optional("draft_slots", "i32", batch),
        }
        # What their addresses stand for lives as long as the step.
        self.arrays = given
        self.arguments = _library.struct(
            "step",
            table_stride=stride(table, 0),
            draft_table_stride=stride(draft_table, 0),
            **{name: address(seen) for name, seen in (inputs | outputs).items()},
        )
        create = ("verifier_workspace_create", verifier.handle, None, 0, call.stream)
        super().__init__("verifier_workspace", _library.create(*create))

    def fault(self, stage: str, stream: int | None) -> tuple[str, int] | None:
        """What a stage has found wrong with the contents of arrays, and in which sequence; waits for the
        stream.
        """
        fault, sequence = ctypes.c_uint32(), ctypes.c_uint32()
        number = _library.constant(f"STAGE_{stage.upper()}")
        written = (ctypes.byref(fault), ctypes.byref(sequence))
        _library.call("verifier_workspace_status", self.handle, number, stream, *written)
        if fault.value == 0:
            return None
        _library.call("verifier_workspace_clear_status", self.handle, stream)
        return _library.name_of("FAULT", fault.value), sequence.value


def _of(name: str, array: Any) -> View | None:
    return None if array is None else _arrays.view(array, name)
