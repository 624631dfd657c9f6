"""Semantic retrieval heads, as CompressKV (arXiv 2508.02401) defines them.

A head's score for a prompt is the attention that it pays to the whole needle, summed over the tokens of the answer that
lie in the needle: of each such token, by the query that it was generated from.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from .attention import Call


class Scorer:
    """Sees a model read one prompt and its answer, all layers of it."""

    def __init__(self, prompt_tokens: int, spans: Sequence[tuple[int, int]]) -> None:
        self._first, self._spans = prompt_tokens - 1, spans
        self._masses: dict[tuple[int, int], torch.Tensor] = {}
        """By layer and position of the query: what each head pays to the needle."""

    def observe(self, call: Call) -> None:
        if call.first + call.query.shape[1] <= self._first:
            return
        keys = call.key.float()
        for row in range(max(self._first - call.first, 0), call.query.shape[1]):
            position = call.first + row
            seen = keys[:, : position + 1]
            queries = call.query[:, row].float().unflatten(0, (keys.shape[0], -1))
            # [kv_heads, group, tokens]: one row's probabilities at a time.
            probabilities = (queries @ seen.mT * call.scale).softmax(dim=-1)
            mass = sum(probabilities[..., start:end].sum(dim=-1) for start, end in self._spans)
            self._masses[call.layer, position] = mass.flatten()

    def scores(self, tokens: Sequence[int]) -> torch.Tensor:
        """`[layers, query_heads]`, fp32; all zero if no token of the answer lies in the needle."""
        needle = {token for start, end in self._spans for token in tokens[start:end]}
        layers = 1 + max(layer for layer, _ in self._masses)
        hits = [at for at in range(self._first, len(tokens) - 1) if tokens[at + 1] in needle]
        zero = torch.zeros(next(iter(self._masses.values())).shape)
        return torch.stack(
            [sum((self._masses[layer, at].cpu() for at in hits), zero) for layer in range(layers)]
        )


def recall(needle: Sequence[int], answer: Sequence[int]) -> float:
    """Share of the needle's tokens that the answer has, each as often as it has it (ROUGE-1's recall)."""
    return (Counter(needle) & Counter(answer)).total() / len(needle)


def order(scores: torch.Tensor) -> list[list[int]]:
    """Heads of each layer, best first, equals by their number; from the mean of `[prompts, layers, query_heads]`."""
    return scores.double().mean(dim=0).sort(dim=-1, descending=True, stable=True).indices.tolist()


def write(folder: Path, scores: torch.Tensor) -> None:
    """CompressKV's files: `head_score.json` and, unless all scores are zero, which rank nothing, `head_idx.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    of_head = {
        f"{layer}-{head}": scores[:, layer, head].tolist()
        for layer in range(scores.shape[1])
        for head in range(scores.shape[2])
    }
    (folder / "head_score.json").write_text(json.dumps(of_head))
    if scores.any():
        index = {str(layer): heads for layer, heads in enumerate(order(scores))}
        (folder / "head_idx.json").write_text(json.dumps(index))
