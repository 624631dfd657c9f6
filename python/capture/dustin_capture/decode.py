"""Running a model over a prompt: the prompt in chunks, then tokens that are given or generated."""

from collections.abc import Callable, Iterable

import torch
from transformers import DynamicCache

from .model import Model

Progress = Callable[[int], object]
"""Told of tokens as they are done."""


class Sequence:
    """One sequence that a model reads: its cache grows with it, for all layers the whole of it."""

    def __init__(self, model: Model, chunk: int, progress: Progress) -> None:
        self._model, self._chunk, self._progress = model, chunk, progress
        # Without a config, no layer's cache is a window.
        self._cache = DynamicCache()

    def extend(self, tokens: Iterable[int], logits: int = 1) -> torch.Tensor:
        """Reads tokens in chunks; logits of the last ones, `[logits, vocabulary]`."""
        ids = torch.tensor([list(tokens)], device=self._model.device)
        rows = []
        for start in range(0, ids.shape[1], self._chunk):
            part = ids[:, start : start + self._chunk]
            left = ids.shape[1] - start - part.shape[1]
            wanted = min(max(logits - left, 0), part.shape[1])
            # Zero would ask for all of them.
            output = self._model.module(
                input_ids=part, past_key_values=self._cache, use_cache=True, logits_to_keep=max(wanted, 1)
            )
            rows.append(output.logits[0, output.logits.shape[1] - wanted :])
            self._progress(part.shape[1])
        return torch.cat(rows)

    def crop(self, length: int) -> None:
        """Forgets all tokens but the first `length`."""
        if beyond := self._cache.get_seq_length() - length:
            self._cache.crop(-beyond)


def forced(
    model: Model, tokens: tuple[int, ...], first_logits: int, chunk: int, progress: Progress
) -> torch.Tensor:
    """Reads all tokens; logits of the positions from `first_logits` on."""
    return Sequence(model, chunk, progress).extend(tokens, len(tokens) - first_logits)


def generated(
    model: Model, prompt: tuple[int, ...], steps: int, ends: frozenset[int], chunk: int, progress: Progress
) -> tuple[tuple[int, ...], torch.Tensor]:
    """Reads a prompt and lets the model go on, greedily, for so many tokens or up to one that ends a text.

    All tokens, each of them read, and the logits of the positions from the prompt's last on.
    """
    sequence = Sequence(model, chunk, progress)
    tokens, logits = list(prompt), [sequence.extend(prompt)]
    for done in range(1, steps + 1):
        token = int(logits[-1][-1].argmax())
        tokens.append(token)
        logits.append(sequence.extend([token]))
        if token in ends:
            progress(steps - done)
            break
    return tuple(tokens), torch.cat(logits)
