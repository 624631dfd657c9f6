"""The command line."""

import argparse
import re
from pathlib import Path

from . import model

EXAMPLES = """examples:
  python -m dustin_capture --target Qwen/Qwen2.5-7B --draft Qwen/Qwen2.5-0.5B \\
      --prompts books.jsonl --steps 64 --output calibration/
  python -m dustin_capture --target ./model --prompts needles.jsonl --rank --force-needle \\
      --target-layers 8-15 --output calibration.safetensors

docs/calibration.md says what prompts look like and what is written.
"""


def numbers(text: str) -> list[int]:
    """0,4-7 as numbers."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if ends is None or (ends[2] is not None and int(ends[2]) < int(ends[1])):
            raise argparse.ArgumentTypeError(f"must be numbers and ranges such as 0,4-7, but is {text}")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return found


def positive(text: str) -> int:
    if re.fullmatch(r"[1-9]\d{0,8}", text) is None:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, but is {text}")
    return int(text)


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, but is {text}")
    return value


def add_run(parser: argparse.ArgumentParser) -> None:
    """How models are run, whatever for."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N, auto, or spread over all GPUs")
    parser.add_argument(
        "--chunk", type=positive, default=2048, metavar="N", help="tokens a pass (%(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dustin_capture",
        description="Records what the attention of a target model, and of a draft model on the same tokens, sees.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", required=True, metavar="MODEL", help="folder, or name on the hub")
    parser.add_argument("--draft", metavar="MODEL", help="the draft model, of the same tokenizer")
    add_run(parser)
    parser.add_argument("--dtype", default="bfloat16", choices=model.DTYPES, help="of weights and captures")

    prompts = parser.add_argument_group("prompts")
    prompts.add_argument(
        "--prompts",
        required=True,
        type=Path,
        action="append",
        metavar="FILE",
        help=".jsonl: a prompt each line; others: one text; may be given several times",
    )
    prompts.add_argument("--max-prompt-tokens", type=positive, metavar="N", help="longer ones lose their end")
    prompts.add_argument(
        "--chat", action="store_true", help="texts are a user's turn in the model's template"
    )
    prompts.add_argument(
        "--held-out",
        type=share,
        default=0.25,
        metavar="SHARE",
        help="share of prompts without a role that searches do not see (%(default)s)",
    )
    prompts.add_argument(
        "--steps", type=positive, default=64, metavar="N", help="tokens generated (%(default)s)"
    )
    prompts.add_argument("--ignore-eos", action="store_true", help="generate on behind the end of a text")

    kept = parser.add_argument_group("what is kept")
    kept.add_argument(
        "--output", required=True, type=Path, help="a folder of shards, or a file X.safetensors"
    )
    kept.add_argument("--restart", action="store_true", help="discard what an interrupted run left")
    for role in ("target", "draft"):
        kept.add_argument(f"--{role}-layers", type=numbers, metavar="LIST", help="such as 0,4-7 (all)")
        kept.add_argument(f"--{role}-heads", type=numbers, metavar="LIST", help="query heads (all)")
    kept.add_argument("--values", action="store_true", help="values, too")
    kept.add_argument("--logits", action="store_true", help="logits of each step, too")
    kept.add_argument(
        "--observe",
        type=positive,
        default=32,
        metavar="N",
        help="queries of the prompt's last N positions are kept, too (%(default)s)",
    )

    ranking = parser.add_argument_group("head rankings")
    ranking.add_argument("--rank", action="store_true", help="rank semantic retrieval heads by needles")
    ranking.add_argument("--force-needle", action="store_true", help="the answer is the needle itself")
    ranking.add_argument(
        "--min-recall",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="share of the needle that an answer must have to count (%(default)s)",
    )
    ranking.add_argument(
        "--rankings",
        type=Path,
        metavar="FOLDER",
        help="for head_idx.json and head_score.json of each model (OUTPUT/rankings)",
    )
    parsed = parser.parse_args(arguments)
    if parsed.chat and parsed.max_prompt_tokens:
        parser.error("--max-prompt-tokens: would cut off the template's end; not with --chat")
    if parsed.draft is None and (parsed.draft_layers or parsed.draft_heads):
        parser.error("--draft-layers, --draft-heads: there is no --draft")
    return parsed
