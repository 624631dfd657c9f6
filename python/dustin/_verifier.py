"""All stages of a verification step, from one plan."""

import ctypes
from typing import Any, Literal

from . import _accept, _arrays, _kv, _library
from ._accept import Accepted
from ._arrays import Array, address, stride
from ._attention import Attended
from ._call import Call
from ._context import Context
from ._engine import address_of, caches, sizes, with_strides
from ._errors import FaultError
from ._handle import Handle
from ._problem import (
    Acceptance,
    Draft,
    LayerHeads,
    Limits,
    Model,
    Pair,
    Rules,
    addresses,
    choice,
    model_struct,
)
from ._profile import Profile
from ._step import Step


class Verifier(Handle):
    """Scores, selects, appends, attends, accepts and compacts for the caches of an engine, each stage a method.

    Stages launch on `stream` (None for torch's current one) and allocate nothing but outputs that they are
    not given. They raise FaultError for what arrays contain, on a CPU always, on a GPU with `check=True`,
    which waits.
    """

    def __init__(
        self,
        target: Model,
        draft: Draft | None,
        limits: Limits,
        rules: Rules | Pair,
        *,
        mask: Literal["causal", "tree"] = "causal",
        lse: bool = False,
        entries: Literal["positions", "slots"] = "positions",
        copies_queries: bool = False,
        batch_invariant: bool = False,
        acceptance: Acceptance | None = None,
        profile: Profile | None = None,
        context: Context | None = None,
    ) -> None:
        """Plans and compiles all stages.

        target, draft: models with their caches, which are kept. rules: how sets are chosen, or the names of
        the pair whose selection the profile holds. mask: which of a step's own rows a row sees. lse: whether
        attention gives the log-sum-exp.
        entries: what attention reads of a set. copies_queries: whether `append` brings queries along.
        batch_invariant: whether a sequence's bits are the same in batches of every size. acceptance: how drafts
        are accepted; None if the engine does that itself.

        Captured queries are made here: `target_queries` `[slots, 1, heads, head_dim]` and `draft_queries`
        `[slots, gamma, heads, head_dim]`, with the heads as `captured` lists them; None where none are
        captured. Error if the parts do not fit.
        """
        call = Call({"target.keys": target.keys[0] if target.keys else None}, context, None)
        self.context, self.limits, self.target = call.context, limits, target
        self.mask, self.acceptance = mask, acceptance
        self._lse, self._owners = lse, (target, draft)
        keys = caches(call, "target.keys", target.keys, target.layout)
        values = caches(call, "target.values", target.values, target.layout, like=keys[0])
        self.kv = _kv.paged_kv(keys[0], target.layout)
        self._dtype = keys[0].dtype
        drafts = caches(call, "draft.keys", draft.model.keys, draft.model.layout) if draft else []
        problem = _library.struct(
            "verifier_problem",
            **vars(limits),
            target=ctypes.pointer(model_struct(target, self.kv)),
            mask=choice("mask", "MASK", mask),
            lse=lse,
            entries=choice("entries", "ENTRIES", entries),
            copies_queries=copies_queries,
            batch_invariant=batch_invariant,
        )
        if draft:
            kv = _kv.paged_kv(drafts[0], draft.model.layout)
            problem.draft = ctypes.pointer(model_struct(draft.model, kv, draft.windowed))
        if acceptance is not None:
            problem.acceptance = ctypes.pointer(acceptance.as_struct(limits))
        if isinstance(rules, Pair):
            problem.target_name, problem.draft_name = rules.target.encode(), rules.draft.encode()
        else:
            problem.rules = ctypes.pointer(rules.as_struct())

        tuned = profile and profile.handle
        self.sizes = sizes("verifier_problem_sizes", tuned, ctypes.byref(problem))
        reads_draft = self.sizes["draft_map"] > 0
        self.target_queries = self._captured_queries("target", target.keys[0], 1)
        self.draft_queries = self._captured_queries(
            "draft", draft.model.keys[0] if draft else None, limits.gamma
        )
        memory = _library.struct(
            "engine_memory",
            target_layers=len(keys),
            target_keys=addresses(one.address for one in keys),
            target_values=addresses(one.address for one in values),
            target_queries=address_of("target_queries", self.target_queries),
            draft_queries=address_of("draft_queries", self.draft_queries),
        )
        if reads_draft:
            memory.draft_keys = addresses(one.address for one in drafts)
            memory.draft_layers = len(drafts)
        made = ("verifier_create", call.context.handle, tuned, ctypes.byref(problem), ctypes.byref(memory))
        super().__init__("verifier", _library.create(*made))
        for draft_side, name in ((False, "target_queries"), (True, "draft_queries")):
            if (flat := getattr(self, name)) is not None:
                heads = sum(len(one.heads) for one in self.captured(draft=draft_side))
                tokens = limits.gamma if draft_side else 1
                setattr(self, name, flat.reshape(limits.slots, tokens, heads, -1))

    def _captured_queries(self, model: str, like: Any, tokens: int) -> Any:
        size = self.sizes[f"{model}_queries"]
        if not size:
            return None
        dtype = _arrays.view(like, f"{model}.keys").dtype
        return _arrays.empty(like, (size,), dtype, fill=0)

    @property
    def report(self) -> str:
        """What serves each stage, where that choice comes from, and why it is nothing better: a line for
        each.
        """
        return _library.text("verifier_report", self.handle)

    def captured(self, *, draft: bool = False) -> list[LayerHeads]:
        """The heads whose queries are captured on this rank, by its own numbers, in the order of the captured
        queries.
        """
        count = _library.number("verifier_captured", self.handle, draft, None, None, 0, kind=ctypes.c_size_t)
        layers, heads = (ctypes.c_uint32 * count)(), (ctypes.c_uint32 * count)()
        written = ctypes.byref(ctypes.c_size_t())
        _library.call("verifier_captured", self.handle, draft, layers, heads, count, written)
        by_layer: dict[int, list[int]] = {}
        for layer, head in zip(layers, heads):
            by_layer.setdefault(layer, []).append(head)
        return [LayerHeads(layer, listed) for layer, listed in by_layer.items()]

    def step(
        self, lengths: Array, row_starts: Array, block_table: Array, map_starts: Array, **arrays: Array
    ) -> Step:
        """The arrays of a step, which stages read when they run, so that they may be filled anew.

        lengths: confirmed tokens, int32 `[max_batch]`. row_starts: first row of each sequence and, last,
        their number, int32 `[max_batch + 1]`. block_table: physical pages of the target, int32 `[max_batch,
        sizes["target_table_width"]]`.
        map_starts: first position of each sequence's part of the maps and, last, the end, int32 `[max_batch +
        1]`.
        slots: of captured target queries, int32 `[max_batch]`, if the target's map is read. masks: uint64 or
        int64 `[max_batch * rows]`, if the mask is a tree. draft_lengths, draft_block_table, draft_slots: of
        the draft's caches, if its map is read. stream: where the workspace is readied.
        """
        return Step(self, lengths, row_starts, block_table, map_starts, **arrays)

    def score_target(self, step: Step, *, stream: Any = None, check: bool | None = None) -> None:
        """Gathers this rank's share of the target's map, `step.target_map`. It may run beside drafting."""
        self._launch("score_target", "target_score", step, (), self._call({}, step, stream), check)

    def score_draft(self, step: Step, *, stream: Any = None, check: bool | None = None) -> None:
        """Gathers this rank's share of the draft's map, `step.draft_map`, behind the draft's forwards."""
        self._launch("score_draft", "draft_score", step, (), self._call({}, step, stream), check)

    def select(self, step: Step, *, stream: Any = None, check: bool | None = None) -> None:
        """Chooses `step.set` and `step.set_sizes` from the maps, which ranks have summed before."""
        self._launch("select", "selection", step, (), self._call({}, step, stream), check)

    def append(
        self,
        layer: int,
        step: Step,
        key: Array,
        value: Array,
        *,
        query: Array | None = None,
        query_copy: Array | None = None,
        stable: bool = False,
        stream: Any = None,
        check: bool | None = None,
    ) -> None:
        """Writes the step's own rows of a layer to its caches: see `dustin.append`, with `max_batch * rows`
        rows.
        """
        call = self._call(
            {"key": key, "value": value, "query": query, "query_copy": query_copy}, step, stream
        )
        shape = (self._rows, self.kv.kv_heads, self.kv.head_dim)
        queries = (self._rows, None, self.kv.head_dim)
        seen = {
            "key": call.array("key", self._dtype, shape, gaps=2),
            "value": call.array("value", self._dtype, shape, gaps=2),
            "query": call.optional("query", self._dtype, queries, gaps=2),
            "query_copy": call.optional("query_copy", self._dtype, queries, gaps=2, writable=True),
        }
        rows = _library.struct("append_rows", stable=stable, **with_strides(seen))
        self._launch("append", "append", step, (rows,), call, check, layer)

    def attention(
        self,
        layer: int,
        step: Step,
        query: Array,
        *,
        full: bool = False,
        out: Array | None = None,
        lse: Array | None = None,
        lse_base: Literal["e", "two"] = "e",
        stable: bool = False,
        stream: Any = None,
        check: bool | None = None,
    ) -> Attended:
        """Attention of a layer over each sequence's set and the step's own rows; with `full` over all
        confirmed tokens.

        query: `[max_batch * rows, query_heads, head_dim]`. out: likewise, of its type or float32; None for a
        new array of its type. lse: float32 `[max_batch * rows, query_heads]`, where the verifier was made
        with it; None for a new array.
        """
        call = self._call({"query": query}, step, stream)
        queries = call.array("query", self._dtype, (self._rows, None, self.kv.head_dim), gaps=2)
        output = call.empty(query, queries.shape, self._dtype) if out is None else out
        outputs = call.array("out", (self._dtype, "f32"), queries.shape, gaps=2, writable=True, value=output)
        if lse is not None and not self._lse:
            raise ValueError("lse: the verifier was made without it")
        sums = call.empty(query, queries.shape[:2], "f32") if lse is None and self._lse else lse
        log_sums = (
            call.array("lse", "f32", queries.shape[:2], writable=True, value=sums) if self._lse else None
        )
        rows = _library.struct(
            "attention_rows",
            lse=address(log_sums),
            output_type=choice("out", "OUTPUT_TYPE", "f32" if outputs.dtype == "f32" else "rounded"),
            lse_base=choice("lse_base", "LOG_BASE", lse_base),
            stable=stable,
            **with_strides({"query": queries, "output": outputs}),
        )
        name = "full_attention" if full else "attention"
        self._launch(name, name, step, (rows,), call, check, layer)
        return Attended(output, sums)

    def accept(
        self,
        step: Step,
        scores: Array,
        tokens: Array,
        temperatures: Array,
        seeds: Array,
        steps_taken: Array,
        *,
        draft_scores: Array | None = None,
        draft_rows: Array | None = None,
        parents: Array | None = None,
        out: Accepted | None = None,
        stream: Any = None,
        check: bool | None = None,
    ) -> Accepted:
        """Finds which drafts each sequence keeps, its next token, and its length behind the step: by the same
        random numbers on every rank.

        scores: the target's, of each row, `[max_batch * rows, vocabulary]`. tokens: of each row, int32
        `[max_batch * rows]`, the pending one first. temperatures: float32 `[max_batch]`; 0 for greedy. seeds:
        uint64 or int64 `[max_batch]`. steps_taken: uint64 or int64 `[1]`, which each launch counts on.
        draft_scores: what drafts were drawn from, `[draft_rows, vocabulary]`, if the acceptance has a
        `draft_type`; of a chain those of the rows behind the first.
        parents: the row that each row of a tree continues, counted from its sequence's first, int32 `[max_batch *
        rows]`; -1 for the first. draft_rows: the row of `draft_scores` that the drafts behind each row of a tree
        were drawn from, int32 `[max_batch * rows]`.
        """
        arrays = {"scores": scores, "tokens": tokens, "temperatures": temperatures, "seeds": seeds}
        arrays |= {"steps_taken": steps_taken, "draft_scores": draft_scores, "draft_rows": draft_rows}
        call = self._call(arrays | {"parents": parents}, step, stream)
        struct, accepted = _accept.arguments(call, self, scores, out)
        self._launch("accept", "acceptance", step, (struct,), call, check)
        return accepted

    def compact(
        self,
        step: Step,
        accepted: Array,
        counts: Array | None = None,
        *,
        stream: Any = None,
        check: bool | None = None,
    ) -> None:
        """Moves the accepted rows up behind the confirmed tokens in all layers; for trees.

        accepted: numbers of each sequence's own rows, ascending, int32 `[max_batch, gamma + 1]`, and counts how
        many there are, int32 `[max_batch]`; of a verifier that accepts, its `path`, without counts.
        """
        call = self._call({"accepted": accepted, "counts": counts}, step, stream)
        accepts = self.acceptance is not None
        if (counts is None) != accepts:
            raise ValueError(f"counts: must {'not be' if accepts else 'be'} given here")
        width = self.sizes["accepted"] // self.limits.max_batch
        lists = call.array("accepted", "i32", (self.limits.max_batch, width), gaps=1)
        listed = call.optional("counts", "i32", (self.limits.max_batch,))
        fields = {"rows": lists.address, "counts": address(listed), "stride": stride(lists, 0)}
        self._launch("compact", "compaction", step, (_library.struct("accepted", **fields),), call, check)

    def capture_target(
        self,
        layer: int,
        step: Step,
        query: Array,
        row_starts: Array,
        *,
        rows: Array | None = None,
        slots: Array | None = None,
        stream: Any = None,
        check: bool | None = None,
    ) -> None:
        """Captures a layer's queries of each sequence's last accepted row, or behind a prompt its last, to
        `target_queries`.

        query: `[rows, query_heads, head_dim]`. row_starts: int32 `[max_batch + 1]`. rows: the row of each
        sequence, counted from its first, int32 `[max_batch]`; None for its last. slots: int32 `[max_batch]`,
        negative for none; None for its number.
        """
        call, arguments = self._capture(step, query, row_starts, rows, slots, stream)
        self._launch("capture_target", "target_capture", step, (arguments,), call, check, layer, shared=False)

    def capture_draft(
        self,
        layer: int,
        token: int,
        step: Step,
        query: Array,
        row_starts: Array,
        *,
        rows: Array | None = None,
        slots: Array | None = None,
        stream: Any = None,
        check: bool | None = None,
    ) -> None:
        """Captures a layer's queries of the draft's forward `token`, 0 to gamma - 1, likewise, to
        `draft_queries`.
        """
        call, arguments = self._capture(step, query, row_starts, rows, slots, stream)
        self._launch(
            "capture_draft", "draft_capture", step, (arguments,), call, check, layer, token, shared=False
        )

    @property
    def _rows(self) -> int:
        return self.limits.max_batch * self.limits.rows

    def _call(self, arrays: dict[str, Any], step: Step, stream: Any) -> Call:
        return Call(arrays | {"lengths": step.arrays["lengths"]}, self.context, stream)

    def _capture(
        self,
        step: Step,
        query: Array,
        row_starts: Array,
        rows: Array | None,
        slots: Array | None,
        stream: Any,
    ) -> tuple[Call, ctypes.Structure]:
        call = self._call(
            {"query": query, "row_starts": row_starts, "rows": rows, "slots": slots}, step, stream
        )
        batch = self.limits.max_batch
        seen = {"query": call.array("query", _arrays.HALF, (None, None, None), gaps=2)}
        arguments = _library.struct(
            "capture_rows",
            total_rows=seen["query"].shape[0],
            row_starts=call.array("row_starts", "i32", (batch + 1,)).address,
            rows=address(call.optional("rows", "i32", (batch,))),
            slots=address(call.optional("slots", "i32", (batch,))),
            **with_strides(seen),
        )
        return call, arguments

    def _launch(
        self,
        name: str,
        stage: str,
        step: Step,
        structs: tuple[ctypes.Structure, ...],
        call: Call,
        check: bool | None,
        *numbers: int,
        shared: bool = True,
    ) -> None:
        """Launches a stage: with numbers of layer and token, the step's arrays if it shares them, and structs
        of its own.
        """
        read = ((step.arguments,) if shared else ()) + structs
        passed = (*numbers, *map(ctypes.byref, read), call.stream)
        _library.call(f"verifier_{name}", self.handle, step.handle, *passed)
        checked = check is True or (check is None and self.context.cu_context is None)
        if checked and (fault := step.fault(stage, call.stream)):
            raise FaultError(stage, *fault)
