"""A paged cache of one layer, and float64 references."""

from dataclasses import dataclass
from typing import Any

import libraries
import numpy as np
import pytest

PAGES, PAGE_SIZE, KV_HEADS, QUERY_HEADS, HEAD_DIM = 24, 16, 2, 4, 64
LENGTHS = (150, 37)
ROWS = 3
TABLE_WIDTH = 11


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@dataclass
class Paged:
    """Caches in fp16, `[pages, page_size, kv_heads, head_dim]`, of two sequences with three own rows each."""

    keys: np.ndarray
    values: np.ndarray
    query: np.ndarray
    table: np.ndarray
    lengths: np.ndarray
    row_starts: np.ndarray
    lib: Any
    """The package, on arrays of the library that the test runs with."""

    def place(self, sequence: int, position: int) -> tuple[int, int]:
        return int(self.table[sequence, position // PAGE_SIZE]), position % PAGE_SIZE

    def read(self, cache: np.ndarray, sequence: int, positions: list[int]) -> np.ndarray:
        """Items of positions, float64 `[positions, kv_heads, head_dim]`."""
        places = [self.place(sequence, position) for position in positions]
        return np.array([cache[place] for place in places], np.float64)

    def attention(self, tokens: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Causal attention over the tokens of each sequence and its own rows, with the log-sum-exp."""
        output, lse = np.zeros(self.query.shape), np.zeros(self.query.shape[:2])
        for sequence, chosen in enumerate(tokens):
            for row in range(ROWS):
                own = [int(self.lengths[sequence]) + i for i in range(row + 1)]
                keys = self.read(self.keys, sequence, chosen + own)
                values = self.read(self.values, sequence, chosen + own)
                for head in range(QUERY_HEADS):
                    at = (sequence * ROWS + row, head)
                    of = head // (QUERY_HEADS // KV_HEADS)
                    scores = keys[:, of] @ self.query[at].astype(np.float64) / np.sqrt(HEAD_DIM)
                    output[at] = softmax(scores) @ values[:, of]
                    lse[at] = np.log(np.exp(scores).sum())
        return output, lse


@pytest.fixture
def lib(request: pytest.FixtureRequest) -> Any:
    return libraries.make(getattr(request, "param", "numpy"))


@pytest.fixture
def paged(lib: Any) -> Paged:
    generator = np.random.default_rng(7)
    shape = (PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM)
    # No page of the table twice, as 7 and 24 have no common divisor; the others are poisoned.
    table = (np.arange(2 * TABLE_WIDTH, dtype=np.int32).reshape(2, TABLE_WIDTH) * 7 + 5) % PAGES
    keys = np.full(shape, np.nan, np.float16)
    values = keys.copy()
    keys[table.ravel()] = generator.standard_normal((table.size, *shape[1:]))
    values[table.ravel()] = generator.standard_normal((table.size, *shape[1:]))
    query = generator.standard_normal((2 * ROWS, QUERY_HEADS, HEAD_DIM)).astype(np.float16)
    lengths = np.array(LENGTHS, np.int32)
    row_starts = np.array([0, ROWS, 2 * ROWS], np.int32)
    return Paged(keys, values, query, table.astype(np.int32), lengths, row_starts, lib)
