"""What sparse attention reads."""

from __future__ import annotations

from typing import Any

from job import DEVICE, bf16, torch, turns
from workloads import TARGET, Attention


class Gather:
    """Disjoint sets of tokens in as few caches as hold them, in turns. A set is followed by the step's own rows."""

    def __init__(self, shape: Attention) -> None:
        self.tokens = shape.k + shape.rows
        length = shape.context + shape.rows
        vectors = 2 * self.tokens * shape.kv_heads + 2 * shape.rows * shape.query_heads
        self.turns = turns(shape.batch * vectors * TARGET.head_dim * 2)
        count = min(self.turns, shape.context // shape.k)
        rows = torch.arange(shape.context, length, device=DEVICE)
        sets: list[list[Any]] = [[] for _ in range(count)]
        for sequence in range(shape.batch):
            order = torch.randperm(shape.context, device=DEVICE).split(shape.k)
            for chosen, own in zip(sets, order, strict=False):
                chosen.append(torch.cat([own.sort().values, rows]) + sequence * length)
        self.sets = [torch.cat(chosen) for chosen in sets]
        cache = (shape.batch * length, shape.kv_heads, TARGET.head_dim)
        self.caches = [(bf16(*cache), bf16(*cache)) for _ in range(-(-self.turns // count))]
        self.turns = len(self.caches) * count

    def turn(self, turn: int) -> tuple[int, int]:
        """Cache and set whose turn it is."""
        return divmod(turn, len(self.sets))
