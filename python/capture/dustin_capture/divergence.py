"""`python -m dustin_capture.divergence`: what verification sets do to a model's output distribution.

The model reads each prompt of a capture with full attention. Then each verification step's rows are computed once more, on
the same cache, seeing nothing of the confirmed tokens but the step's set, in all layers.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from . import args, command, decode, model
from .attention import restricted_to
from .bootstrap import CONFIDENCE, lower_bound, upper_bound
from .captured import Captured
from .errors import CaptureError
from .record import require_finite
from .sets import Sets, Step, read

VERSION = 1

EXAMPLES = """example:
  python -m dustin_capture.divergence --target Qwen/Qwen2.5-7B --capture calibration/ \\
      --sets sets.safetensors --output divergence.json

docs/calibration.md says what sets look like and what is written.
"""


@dataclass(frozen=True)
class PromptDivergence:
    """Means over the rows of all steps of one prompt."""

    prompt: int
    name: str
    role: str
    rows: int
    divergence: float
    """KL(full || sparse) in nats."""
    agreement: float
    """Share of the rows whose most likely token is the same."""
    rounding: float
    """The divergence of full attention computed anew: 0 unless the reference is captured."""


def of_prompt(
    target: model.Model,
    captured: Captured,
    prompt: int,
    gamma: int,
    steps: Sequence[Step],
    chunk: int,
    progress: decode.Progress,
) -> PromptDivergence:
    described, tokens = captured.prompts[prompt], captured.tokens(prompt)
    first = described["prompt_tokens"] - 1
    sequence = decode.Sequence(target, chunk, progress)
    full = sequence.extend(tokens, len(tokens) - first)
    require_finite(target, f"prompt {described['name']}: logits", full)
    logits = captured.logits(prompt, full.shape)
    reference = full if logits is None else logits.to(full.device)
    divergences, agreements, roundings = [], [], []
    # The last one first: what a step writes to the cache lies behind all that earlier ones see.
    for step in reversed(steps):
        end = step.length + gamma + 1
        sequence.crop(step.length)
        kept = torch.arange(step.length) if step.positions is None else step.positions
        with restricted_to(kept, step.length):
            sparse = sequence.extend(tokens[step.length : end], gamma + 1)
        require_finite(target, f"prompt {described['name']}: logits over the set", sparse)
        rows = slice(step.length - first, end - first)
        divergences.append(divergence(reference[rows], sparse))
        agreements.append((reference[rows].argmax(-1) == sparse.argmax(-1)).double())
        roundings.append(divergence(reference[rows], full[rows]))
    mean = [float(torch.cat(rows).mean()) for rows in (divergences, agreements, roundings)]
    rows = len(steps) * (gamma + 1)
    return PromptDivergence(prompt, described["name"], described["role"], rows, *mean)


def divergence(full: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(full || other) of each row, in nats, from logits."""
    full, other = (logits.double().log_softmax(dim=-1) for logits in (full, other))
    return (full.exp() * (full - other)).sum(dim=-1)


def measure(
    target: model.Model, captured: Captured, sets: Sets, chunk: int, told: Callable[[PromptDivergence], object],
    progress: decode.Progress,
) -> list[PromptDivergence]:  # fmt: skip
    """All prompts that there are sets for; each is told of when it is done."""
    found = []
    for prompt, steps in sets.steps.items():
        with torch.inference_mode():
            try:
                found.append(of_prompt(target, captured, prompt, sets.gamma, steps, chunk, progress))
            except torch.OutOfMemoryError as error:
                raise CaptureError(
                    f"prompt {captured.prompts[prompt]['name']}: the target model's memory is too small for it; "
                    f"take a smaller --chunk or --device spread"
                ) from error
        told(found[-1])
    return found


def report(captured: Captured, sets: Sets, found: list[PromptDivergence]) -> dict[str, Any]:
    divergences, agreements = [it.divergence for it in found], [it.agreement for it in found]
    return {
        "version": VERSION,
        "capture": captured.digest,
        "sets": sets.digest,
        "name": sets.name,
        "gamma": sets.gamma,
        "confidence": CONFIDENCE,
        "divergence": {"mean": sum(divergences) / len(found), "at_most": upper_bound(divergences)},
        "agreement": {"mean": sum(agreements) / len(found), "at_least": lower_bound(agreements)},
        "prompts": [asdict(it) for it in found],
    }


def run(asked: argparse.Namespace) -> None:
    if asked.output.exists():
        raise CaptureError(f"--output {asked.output}: must not be there yet, but is; name another place")
    captured = Captured(asked.capture)
    sets = read(asked.sets, captured)
    dtypes = {short: name for name, short in model.SAFETENSORS.items()}
    dtype = asked.dtype or dtypes.get(captured.dtype, "bfloat16")
    target = model.load("target", asked.target, dtype, command.device(asked.device), None, None)
    for field, required in captured.geometry.items():
        if (actual := target.geometry.get(field)) != required:
            raise CaptureError(
                f"target model {asked.target}: must be that of the capture, with {field} {required}, but has {actual}"
            )
    read_again = sum(len(steps) * (sets.gamma + 1) for steps in sets.steps.values())
    total = sum(captured.prompts[prompt]["tokens"] for prompt in sets.steps) + read_again
    with tqdm(total=total, unit="tok", unit_scale=True, disable=asked.quiet) as bar:

        def told(it: PromptDivergence) -> None:
            bar.write(
                f"{it.name}: divergence {it.divergence:.4g}, agreement {it.agreement:.4g}, {it.rows} rows"
            )

        found = measure(target, captured, sets, asked.chunk, told, bar.update)
    summary = report(captured, sets, found)
    _write(asked.output, json.dumps(summary, indent=1) + "\n")
    print(_sentence(summary))


def _sentence(summary: dict[str, Any]) -> str:
    parts = []
    for what, word, unit in (("divergence", "at_most", " nats"), ("agreement", "at_least", "")):
        figure = summary[what]
        bound = figure[word]
        sure = "" if bound is None else f" ({word.replace('_', ' ')} {bound:.4g} at {CONFIDENCE:.0%})"
        parts.append(f"{what} {figure['mean']:.4g}{unit}{sure}")
    return f"{summary['name']}, mean over {len(summary['prompts'])} prompts: {', '.join(parts)}"


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text)
        os.replace(unfinished, path)
    except OSError as error:
        raise CaptureError(
            f"--output {path}: cannot be written ({error}); check the path and the space"
        ) from error


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dustin_capture.divergence",
        description="Measures by how much verification sets change a model's output distribution.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target", required=True, metavar="MODEL", help="the capture's; folder, or name on the hub"
    )
    parser.add_argument("--capture", required=True, type=Path, help="file, or folder of shards")
    parser.add_argument(
        "--sets", required=True, type=Path, metavar="FILE", help="verification sets of its steps"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="for the figures, as JSON")
    args.add_run(parser)
    parser.add_argument("--dtype", choices=model.DTYPES, help="of weights (the capture's)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    asked = parse(arguments)
    return command.answered(lambda: run(asked), "nothing is written")


if __name__ == "__main__":
    sys.exit(main())
