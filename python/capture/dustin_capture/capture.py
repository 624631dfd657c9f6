"""One run: every prompt through the target and the draft, into the store."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import safetensors
import torch
import transformers

from . import decode, layout, rank
from .attention import Call, observed_by
from .errors import CaptureError
from .model import Model
from .prompts import Prompt
from .record import Recorder, require_finite
from .store import Store


@dataclass(frozen=True)
class Options:
    """What is recorded of each prompt."""

    steps: int
    """The most tokens that are generated behind a prompt."""
    observed: int
    """Positions of the prompt's end whose queries are kept."""
    chunk: int
    """Tokens of one pass through a model."""
    values: bool
    logits: bool
    rank: bool
    min_recall: float
    """Prompts whose answer has less of the needle score nothing."""
    stop: bool
    """Whether a token that ends a text ends a continuation."""


def request(models: list[Model], prompts: list[Prompt], options: Options) -> dict[str, Any]:
    """What makes two captures the same."""
    return {
        "models": {model.role: model.describe() for model in models},
        "prompts": [vars(prompt) for prompt in prompts],
        "options": vars(options),
    }


def capture(
    models: list[Model],
    prompts: list[Prompt],
    options: Options,
    store: Store,
    progress: Callable[[int, str], object],
) -> dict[str, torch.Tensor]:
    """Captures what the store has not got yet, and finishes it. The models' rankings,
    `[prompts, layers, query_heads]`.
    """
    records = []
    for number, prompt in enumerate(prompts):
        record = store.record(number)
        if record is None:
            with torch.inference_mode():
                record = _Prompt(number, prompt, options, store, progress).run(models)
            store.finish_prompt(number, record)
        else:
            progress((len(prompt.tokens) + _steps(prompt, options)) * len(models), prompt.name)
        records.append(record)
    rankings, ranked = _rankings(models, records) if options.rank else ({}, None)
    if rankings:
        store.write(layout.RANKING_FILE, {layout.ranking(role): of for role, of in rankings.items()})
    store.finish(
        {
            "producer": _producer(),
            **{model.role: model.describe() for model in models},
            "prompts": [record["described"] for record in records],
            "ranking": ranked,
        }
    )
    return rankings


def total_tokens(models: list[Model], prompts: list[Prompt], options: Options) -> int:
    """Tokens that all passes read together, if no text ends early."""
    return sum(len(prompt.tokens) + _steps(prompt, options) for prompt in prompts) * len(models)


def _steps(prompt: Prompt, options: Options) -> int:
    return options.steps if prompt.continuation is None else len(prompt.continuation)


class _Prompt:
    """One prompt's way through the models."""

    def __init__(
        self,
        number: int,
        prompt: Prompt,
        options: Options,
        store: Store,
        progress: Callable[[int, str], object],
    ) -> None:
        self._number, self._prompt, self._options, self._store = number, prompt, options, store
        self._progress = lambda tokens: progress(tokens, prompt.name)
        self._first_query = max(len(prompt.tokens) - max(options.observed, 1), 0)

    def run(self, models: list[Model]) -> dict[str, Any]:
        """Its part of the metadata, and its scores."""
        prompt, scores = self._prompt, {}
        tokens = None if prompt.continuation is None else prompt.tokens + prompt.continuation
        shard: dict[str, torch.Tensor] = {}
        for model in models:
            tokens, logits, scores[model.role] = self._model(model, tokens)
            if self._options.logits:
                require_finite(model, "logits", logits)
                shard[layout.logits(model.role, self._number)] = logits.cpu()
        shard[layout.tokens(self._number)] = torch.tensor(tokens, dtype=torch.int32)
        self._store.write(layout.prompt_file(self._number), shard)
        recall = rank.recall(prompt.needle, tokens[len(prompt.tokens) :]) if prompt.spans else None
        described = {
            "name": prompt.name,
            "role": prompt.role,
            "tokens": len(tokens),
            "prompt_tokens": len(prompt.tokens),
            "first_query": self._first_query,
            "continuation": "generated" if prompt.continuation is None else "forced",
            "needle_spans": [list(span) for span in prompt.spans],
            "needle_recall": recall,
        }
        counts = recall is not None and recall >= self._options.min_recall and prompt.role == layout.SEARCHED
        return {"described": described, "scores": scores if counts else None}

    def _model(
        self, model: Model, tokens: tuple[int, ...] | None
    ) -> tuple[tuple[int, ...], torch.Tensor, list[list[float]] | None]:
        """All tokens, logits, and the scores of the model's heads. Without tokens given, the model generates."""
        prompt, options = self._prompt, self._options
        vocabulary = model.geometry["vocabulary"]
        if tokens is not None and max(tokens) >= vocabulary:
            raise CaptureError(
                f"prompt {prompt.name}: tokens must be below the {model.role} model's vocabulary, {vocabulary}, "
                f"but one is {max(tokens)}"
            )
        recorder = Recorder(model, self._first_query, options.values)
        scorer = rank.Scorer(len(prompt.tokens), prompt.spans) if options.rank and prompt.spans else None

        def observe(call: Call) -> None:
            recorder.observe(call)
            if scorer is not None:
                scorer.observe(call)

        try:
            with observed_by(observe):
                if tokens is None:
                    ends = model.ends if options.stop else frozenset()
                    tokens, logits = decode.generated(
                        model, prompt.tokens, options.steps, ends, options.chunk, self._progress
                    )
                else:
                    first = len(prompt.tokens) - 1
                    logits = decode.forced(model, tokens, first, options.chunk, self._progress)
        except torch.OutOfMemoryError as error:
            raise CaptureError(
                f"prompt {prompt.name}: the {model.role} model's memory is too small for {len(prompt.tokens)} "
                f"tokens; take a smaller --chunk, shorter prompts or --device spread"
            ) from error
        for layer, tensors in recorder.layers():
            named = {
                layout.captured(model.role, self._number, layer, what): tensor
                for what, tensor in tensors.items()
            }
            self._store.write(layout.layer_file(model.role, self._number, layer), named)
        return tokens, logits, scorer and scorer.scores(tokens).tolist()


def _rankings(
    models: list[Model], records: list[dict[str, Any]]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Scores of the searched prompts that count, and what the metadata says of them."""
    scored = [number for number, record in enumerate(records) if record["scores"] is not None]
    rankings = {
        model.role: torch.tensor([records[number]["scores"][model.role] for number in scored])
        for model in models
        if scored
    }
    zero = [role for role, scores in rankings.items() if not scores.any()]
    return rankings, {"method": "compresskv-srh", "prompts": scored, "all_zero": zero}


def _producer() -> dict[str, str]:
    """The versions that a capture's bits may depend on."""
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
    }
