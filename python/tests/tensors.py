"""Paged caches as engines keep them, on tensors of any device, and references in float64."""

import math
from dataclasses import dataclass
from typing import Any

from libraries import missing, optional

PAGES, PAGE_SIZE, KV_HEADS, QUERY_HEADS = 32, 16, 2, 8
LENGTHS, ROWS, TABLE_WIDTH = (150, 37, 5), 3, 10
BATCH = len(LENGTHS)
STARTS = (0, 150, 187, 192)

LAYOUTS = {
    # The shape of what is allocated, how keys and values are taken from it, and what they then are.
    "NHD": ((2, "pages", "tokens", "heads"), lambda both: both.unbind(0), "NHD"),
    "HND": ((2, "pages", "heads", "tokens"), lambda both: both.unbind(0), "HND"),
    "FlashInfer NHD": (("pages", 2, "tokens", "heads"), lambda both: both.unbind(1), "NHD"),
    "FlashInfer HND": (("pages", 2, "heads", "tokens"), lambda both: both.unbind(1), "HND"),
    # A head's value behind its key.
    "packed": (("pages", "tokens", "heads", 2), lambda both: both.unbind(3), "NHD"),
    # vLLM says NHD whatever lies in memory: here heads before tokens.
    "vLLM HND": ((2, "pages", "heads", "tokens"), lambda both: both.transpose(2, 3).unbind(0), "NHD"),
}


def torch_on(device: str) -> Any:
    """torch, if it has the device."""
    torch = optional("torch")
    if device == "cuda" and not torch.cuda.is_available():
        missing("torch finds no GPU")
    return torch


@dataclass
class World:
    """Caches of one layer with the step's own rows in them, poison elsewhere; queries, and what addresses them."""

    layout: str
    both: Any
    keys: Any
    values: Any
    query: Any
    table: Any
    lengths: Any
    row_starts: Any
    map_starts: Any

    @property
    def arrays(self) -> tuple[Any, ...]:
        return (self.query, self.keys, self.values, self.table, self.lengths, self.row_starts)

    def read(self, cache: Any, sequence: int, positions: Any) -> Any:
        """Items of positions, float64 `[kv_heads, positions, head_dim]`."""
        by_token = cache if self.layout == "NHD" else cache.transpose(1, 2)
        pages = self.table[sequence].long()[positions // PAGE_SIZE]
        return by_token[pages, positions % PAGE_SIZE].double().transpose(0, 1)

    def attention(self, tokens: list[Any]) -> tuple[Any, Any]:
        """Causal attention over the tokens of each sequence and its own rows, and the log-sum-exp."""
        torch = optional("torch")
        output = torch.zeros(self.query.shape, dtype=torch.float64, device=self.query.device)
        lse = output[..., 0].clone()
        for sequence, chosen in enumerate(tokens):
            for row in range(ROWS):
                own = torch.arange(row + 1, device=chosen.device) + self.lengths[sequence]
                positions = torch.cat([chosen, own])
                group = QUERY_HEADS // KV_HEADS
                keys = self.read(self.keys, sequence, positions).repeat_interleave(group, 0)
                values = self.read(self.values, sequence, positions).repeat_interleave(group, 0)
                at = sequence * ROWS + row
                query = self.query[at].double()[:, None]
                scores = (query @ keys.transpose(1, 2))[:, 0] / math.sqrt(query.shape[-1])
                lse[at] = scores.logsumexp(1)
                output[at] = (scores.softmax(1)[:, None] @ values)[:, 0]
        return output, lse

    def everything(self) -> list[Any]:
        torch = optional("torch")
        return [torch.arange(length, device=self.query.device) for length in self.lengths.tolist()]

    def map(self, captured: Any, heads: list[int]) -> Any:
        """The mean of the probabilities of heads, over captured queries `[slots, tokens, heads, head_dim]`."""
        torch = optional("torch")
        parts = []
        for sequence, positions in enumerate(self.everything()):
            keys = self.read(self.keys, sequence, positions)[
                [head * KV_HEADS // QUERY_HEADS for head in heads]
            ]
            query = captured[sequence].double().transpose(0, 1)
            scores = query @ keys.transpose(1, 2) / math.sqrt(query.shape[-1])
            parts.append(scores.softmax(-1).mean((0, 1)))
        return torch.cat(parts)


def world(device: str, layout: str = "NHD", dtype: str = "bfloat16", head_dim: int = 128) -> World:
    torch = torch_on(device)
    generator = torch.Generator().manual_seed(29)
    sizes = {"pages": PAGES, "tokens": PAGE_SIZE, "heads": KV_HEADS}
    dimensions, taken, said = LAYOUTS[layout]
    half = getattr(torch, dtype)
    shape = [sizes.get(one, one) for one in dimensions]
    both = torch.randn(*shape, head_dim, generator=generator).to(half).to(device)
    keys, values = taken(both)
    # No page of the table twice, as 7 and 32 have no common divisor.
    table = (torch.arange(BATCH * TABLE_WIDTH, dtype=torch.int32).reshape(BATCH, -1) * 7 + 5) % PAGES
    unused = sorted(set(range(PAGES)) - set(table.flatten().tolist()))
    keys[unused] = values[unused] = math.nan
    query = torch.randn(BATCH * ROWS, QUERY_HEADS, head_dim, generator=generator).to(half)
    counts = [
        torch.tensor(one, dtype=torch.int32) for one in (LENGTHS, range(0, BATCH * ROWS + 1, ROWS), STARTS)
    ]
    return World(said, both, keys, values, *(one.to(device) for one in (query, table, *counts)))


def captured(one: World, tokens: int = 1, heads: int = 2) -> Any:
    """Captured queries of every sequence, `[slots, tokens, heads, head_dim]`."""
    torch = optional("torch")
    generator = torch.Generator().manual_seed(31)
    made = torch.randn(BATCH, tokens, heads, one.query.shape[-1], generator=generator)
    return made.to(one.query.dtype).to(one.query.device)


def own_rows(one: World) -> tuple[Any, Any]:
    """Keys and values of the step's rows, `[rows, kv_heads, head_dim]` each."""
    torch = optional("torch")
    generator = torch.Generator().manual_seed(37)
    made = torch.randn(2, BATCH * ROWS, KV_HEADS, one.query.shape[-1], generator=generator)
    return tuple(made.to(one.query.dtype).to(one.query.device))
