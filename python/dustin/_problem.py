"""What a verifier is made for: models, limits and rules."""

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import _library
from ._arrays import Array
from ._geometry import Geometry
from ._kv import Layout


@dataclass(frozen=True)
class Model:
    """A model as this rank holds it."""

    geometry: Geometry
    """The whole model's."""
    keys: Sequence[Array]
    """The key cache of each layer, pages in `layout` with the rank's KV heads; all of the same shape and
    strides.
    """
    values: Sequence[Array] = ()
    """The value caches, likewise; of a draft model nobody reads them."""
    layout: Layout = "NHD"
    tp_size: int = 1
    """Tensor-parallel ranks that share the model."""
    tp_rank: int = 0
    scale: float = 0.0
    """The softmax scale; 0 for 1 / sqrt(head_dim)."""


@dataclass(frozen=True)
class Draft:
    """The model that proposes tokens."""

    model: Model
    windowed: bool = False
    """Whether its cache holds no more than sinks and a window: then there is no draft's map."""


@dataclass(frozen=True)
class Limits:
    """Capacities of a step."""

    max_batch: int
    """The most sequences. Steps of fewer give those that are missing length 0, no rows and slot -1."""
    max_total_tokens: int
    """The most confirmed tokens of all sequences together."""
    max_length: int
    """The most tokens of one sequence, the step's own rows included."""
    rows: int
    """The step's own rows of one sequence: at least gamma + 1, up to 64."""
    gamma: int
    """Draft tokens one after the other, for a tree its depth."""
    slots: int
    """Slots of captured queries: at least `max_batch`."""


@dataclass(frozen=True)
class LayerHeads:
    """Query heads of one layer, ascending."""

    layer: int
    heads: Sequence[int]


@dataclass(frozen=True)
class Rules:
    """How a verification set is chosen; heads are numbered over the whole model."""

    k: int
    """The budget: confirmed tokens of a set, sinks and recent ones included; a multiple of the block."""
    target_heads: Sequence[LayerHeads]
    """Whose mean attention is the target's map."""
    draft_heads: Sequence[LayerHeads] = ()
    """Whose mean attention is the draft's map; none if m is 0."""
    m: int = 0
    """The quota: tokens from the draft's map first."""
    sinks: int = 0
    recent: int = 0
    pooling: int = 1
    """Tokens that a score is averaged over first: odd."""
    block: int = 1
    """Tokens that are chosen together."""
    everything: int = 0
    """Sequences of at most so many confirmed tokens have all of them read."""
    without_target: Literal["everything", "draft"] = "everything"
    """What a sequence without a captured target query gets."""

    def as_struct(self) -> ctypes.Structure:
        """As the C ABI has it."""
        return _library.struct(
            "rules",
            k=self.k,
            target_heads=_layer_heads(self.target_heads),
            draft_heads=_layer_heads(self.draft_heads) if self.draft_heads else None,
            target_layers=len(self.target_heads),
            draft_layers=len(self.draft_heads),
            m=self.m,
            sinks=self.sinks,
            recent=self.recent,
            pooling=self.pooling,
            block=self.block,
            everything=self.everything,
            without_target=choice("without_target", "FALLBACK", self.without_target),
        )


@dataclass(frozen=True)
class Pair:
    """The names by which the profile knows the models: its selection for them takes the place of rules."""

    target: str
    draft: str


@dataclass(frozen=True)
class Acceptance:
    """How drafts are accepted: over the target's vocabulary; trees where the mask is one, else chains."""

    target_type: Literal["f32", "bf16", "f16"] = "f32"
    """Item type of the target's scores."""
    target_kind: Literal["logits", "probabilities"] = "logits"
    """What they say: logits, or probabilities with the temperature at work already."""
    draft_type: Literal["f32", "bf16", "f16"] | None = None
    """Item type of the scores that drafts were drawn from; None if there are none: each draft counts as
    certain, as one that was looked up.
    """
    draft_kind: Literal["logits", "probabilities"] = "logits"
    draft_rows: int | None = None
    """Rows of them; None for `max_batch * (rows - 1)`, a chain's."""
    without_replacement: bool = False
    """Whether the drafts behind one row of a tree were drawn without replacement."""

    def as_struct(self, limits: Limits) -> ctypes.Structure:
        """As the C ABI has it."""
        made = _library.struct(
            "acceptance",
            target_type=choice("target_type", "SCORE_TYPE", self.target_type),
            target_kind=choice("target_kind", "SCORE_KIND", self.target_kind),
        )
        if self.draft_type is not None:
            chains = limits.max_batch * (limits.rows - 1)
            made.draft_type = choice("draft_type", "SCORE_TYPE", self.draft_type)
            made.draft_kind = choice("draft_kind", "SCORE_KIND", self.draft_kind)
            made.draft_rows = chains if self.draft_rows is None else self.draft_rows
            made.without_replacement = self.without_replacement
        return made


def choice(name: str, prefix: str, value: str) -> int:
    """The constant of an enumeration that a word stands for; ValueError names the argument."""
    known = _library.header().constants
    if (number := known.get(f"DUSTIN_{prefix}_{str(value).upper()}")) is None:
        words = [
            word.removeprefix(f"DUSTIN_{prefix}_").lower()
            for word in known
            if word.startswith(f"DUSTIN_{prefix}_")
        ]
        raise ValueError(f"{name}: must be one of {', '.join(words)}, not {value!r}")
    return number


def model_struct(model: Model, kv: ctypes.Structure, windowed: bool = False) -> ctypes.Structure:
    """A model and the shape of its caches, as the C ABI has it."""
    return _library.struct(
        "model",
        dtype=kv.dtype,
        geometry=ctypes.pointer(model.geometry.as_struct()),
        kv=kv,
        tp_size=model.tp_size,
        tp_rank=model.tp_rank,
        scale=model.scale,
        draft_cache=_library.constant("DRAFT_CACHE_WINDOWED" if windowed else "DRAFT_CACHE_COMPLETE"),
    )


def addresses(items: Iterable[int]) -> ctypes.Array[Any]:
    """A list of addresses in host memory."""
    listed = list(items)
    return (ctypes.c_void_p * len(listed))(*listed)


def _layer_heads(listed: Sequence[LayerHeads]) -> ctypes.Array[Any]:
    kind = _library.header().structs["dustin_layer_heads"]
    made = [
        kind(heads=(ctypes.c_uint32 * len(one.heads))(*one.heads), count=len(one.heads), layer=one.layer)
        for one in listed
    ]
    return (kind * len(made))(*made)
