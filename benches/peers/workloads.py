"""The workloads, by the names and in the shapes of `autotune plan --list-workloads`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Model:
    name: str
    query_heads: int
    kv_heads: int
    head_dim: int


TARGET = Model("Qwen2.5-72B", 64, 8, 128)
DRAFT = Model("Qwen2.5-0.5B", 14, 2, 64)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class Attention:
    """One layer of `TARGET`, on one of `tp` ranks."""

    batch: int = 16
    context: int = 32_768
    rows: int = 5
    k: int = 512
    full: bool = False  # everything is read, whatever k
    tp: int = 1

    def __str__(self) -> str:
        tp = "" if self.tp == 1 else f"TP {self.tp}, "
        read = "everything" if self.full else f"k {self.k}"
        shape = f"batch {self.batch} x {self.context}, {self.rows} rows, {read}"
        return f"{TARGET.name}, {tp}{shape}, page 16 NHD, bf16"

    @property
    def query_heads(self) -> int:
        return TARGET.query_heads // self.tp

    @property
    def kv_heads(self) -> int:
        return TARGET.kv_heads // self.tp

    @property
    def cache_bytes(self) -> int:
        return 4 * self.batch * self.context * self.kv_heads * TARGET.head_dim


@dataclass(frozen=True)
class Score:
    """The mean probability that `heads` heads of each of `layers` layers give to every token."""

    model: Model = TARGET
    layers: int = 1
    heads: int = 4
    kv_heads_read: int = 4
    tokens: int = 1
    batch: int = 16
    context: int = 32_768

    def __str__(self) -> str:
        heads = f"{counted(self.layers, 'layer')} of {counted(self.heads, 'head')}"
        columns = f"on {counted(self.kv_heads_read, 'KV head')}, {counted(self.tokens, 'query token')}"
        sequences = f"batch {self.batch} x {self.context}"
        return f"score {self.model.name}, {sequences}, {heads} {columns}, page 16 NHD, bf16"


@dataclass(frozen=True)
class Select:
    """The `k` best positions of every sequence."""

    batch: int = 16
    context: int = 32_768
    k: int = 512
    quota: int = 128

    def __str__(self) -> str:
        return f"select batch {self.batch} x {self.context}, k {self.k}, {self.quota} from the draft's map"


Shape = Union[Attention, Score, Select]

# No peer takes the mask of a tree.
WORKLOADS: dict[str, Shape] = {
    "w1": Attention(),
    "w1-rows8": Attention(rows=8),
    "w1-tp4": Attention(tp=4),
    "w1-tp8": Attention(tp=8),
    "w1-k1024": Attention(k=1024),
    "w1-k2048": Attention(k=2048),
    "w1-b1": Attention(batch=1),
    "w1-b4": Attention(batch=4),
    "w1-b1-128k": Attention(batch=1, context=131_072),
    "w1-b8-16k": Attention(batch=8, context=16_384),
    "w1-b64-8k": Attention(batch=64, context=8_192),
    "w1-full": Attention(full=True),
    "w1-full-b1": Attention(batch=1, full=True),
    "w1-full-b1-128k": Attention(batch=1, context=131_072, full=True),
    "w1-full-b8-16k": Attention(batch=8, context=16_384, full=True),
    "w1-score": Score(),
    "w1-score-1kv": Score(kv_heads_read=1),
    "w1-score-draft": Score(DRAFT, layers=3, kv_heads_read=2, tokens=4),
    "w1-select": Select(),
    "w1-select-b64": Select(batch=64),
    "w1-select-128k": Select(context=131_072),
}


def of_kind(kind: type) -> tuple[str, ...]:
    return tuple(name for name, shape in WORKLOADS.items() if isinstance(shape, kind))


def of_attention(full: bool) -> tuple[str, ...]:
    shapes = WORKLOADS.items()
    return tuple(name for name, shape in shapes if isinstance(shape, Attention) and shape.full == full)
