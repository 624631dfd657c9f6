"""`python -m dustin_capture`: what is asked, checked, run, and said of the end."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from . import args, command, rank
from .capture import Options, capture, request, total_tokens
from .errors import CaptureError
from .layout import SEARCHED
from .model import Model, load
from .prompts import Prompt, Tokenizer, read
from .store import Store


def main(arguments: list[str] | None = None) -> int:
    asked = args.parse(arguments)
    return command.answered(lambda: run(asked), "the same command goes on behind the last whole prompt")


def run(asked: argparse.Namespace) -> None:
    prompts = _prompts(asked)
    if asked.rank and not any(prompt.spans and prompt.role == SEARCHED for prompt in prompts):
        raise CaptureError("--rank: at least one searched prompt must have a needle, but none has")
    models = _models(asked)
    _warn_of_lengths(models, prompts)
    options = Options(
        steps=asked.steps,
        observed=asked.observe,
        chunk=asked.chunk,
        values=asked.values,
        logits=asked.logits,
        rank=asked.rank,
        min_recall=asked.min_recall,
        stop=not asked.ignore_eos,
    )
    store = Store(asked.output, request(models, prompts, options), asked.restart)
    total = total_tokens(models, prompts, options)
    with tqdm(total=total, unit="tok", unit_scale=True, disable=asked.quiet) as bar:

        def progress(tokens: int, prompt: str) -> None:
            bar.set_postfix_str(prompt, refresh=False)
            bar.update(tokens)

        rankings = capture(models, prompts, options, store, progress)
    folder = asked.rankings or (None if store.single else asked.output / "rankings")
    if asked.rank and not rankings:
        print(
            "warning: no searched prompt's answer has enough of its needle for --min-recall, so that no head "
            "is ranked; --force-needle has the answer be the needle",
            file=sys.stderr,
        )
    _report(rankings, folder)


def _prompts(asked: argparse.Namespace) -> list[Prompt]:
    tokenizer = Tokenizer([name for name in (asked.target, asked.draft) if name], asked.chat)
    prompts = read(asked.prompts, tokenizer, asked.max_prompt_tokens, asked.held_out)
    if not asked.force_needle:
        return prompts
    if bare := [prompt.name for prompt in prompts if not prompt.spans]:
        raise CaptureError(f"--force-needle: every prompt must have a needle, but {bare[0]} has none")
    return [replace(prompt, continuation=prompt.needle) for prompt in prompts]


def _models(asked: argparse.Namespace) -> list[Model]:
    device = command.device(asked.device)
    models = [load("target", asked.target, asked.dtype, device, asked.target_layers, asked.target_heads)]
    if asked.draft:
        models.append(load("draft", asked.draft, asked.dtype, device, asked.draft_layers, asked.draft_heads))
    return models


def _warn_of_lengths(models: list[Model], prompts: list[Prompt]) -> None:
    for model in models:
        if longer := [prompt for prompt in prompts if len(prompt.tokens) > model.longest]:
            print(
                f"warning: prompt {longer[0].name} has {len(longer[0].tokens)} tokens, more than the "
                f"{model.longest} that the {model.role} model states",
                file=sys.stderr,
            )


def _report(rankings: dict[str, torch.Tensor], folder: Path | None) -> None:
    for role, scores in rankings.items():
        if folder is not None:
            try:
                rank.write(folder / role, scores)
            except OSError as error:
                raise CaptureError(f"--rankings {folder}: cannot be written ({error})") from error
        if scores.any():
            mean = scores.double().mean(dim=0)
            best = [divmod(at, mean.shape[1]) for at in mean.flatten().argsort(descending=True)[:5].tolist()]
            named = ", ".join(f"{layer}-{head} ({mean[layer, head]:.2f})" for layer, head in best)
            print(f"{role}: best heads by layer-head (score) over {scores.shape[0]} prompts: {named}")
        else:
            print(
                f"warning: {role}: no answer has a token of its needle, so that all scores are zero and no "
                f"head_idx.json is written; --force-needle has the answer be the needle",
                file=sys.stderr,
            )


if __name__ == "__main__":
    sys.exit(main())
