"""Makes the capture that the Rust tests read, from a pair of small Qwen2 models with planted induction heads.

    PYTHONPATH=python/capture python python/capture/tests/fixture.py tests/data/calibration.safetensors

The same machine and versions write the same bytes; others differ by rounding. `--device cpu` does without a GPU.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import induction
import transformers
from induction import Planted

from dustin_capture.__main__ import main

TARGET = {"layers": 3, "query_heads": 4, "kv_heads": 2, "planted": Planted((0, 3), (1, 2)), "seed": 11}
DRAFT = {"layers": 2, "query_heads": 2, "kv_heads": 1, "planted": Planted((0, 0), (1, 1)), "seed": 12}
NEEDLE, STEPS = 10, 12


def prompts() -> list[dict[str, object]]:
    """Six of different lengths, needles at different places; the last two are held out, one is forced."""
    lines = []
    for number, length in enumerate((40, 52, 44, 48, 40, 52)):
        tokens, span = induction.prompt(length, NEEDLE, at=5 + 4 * number, seed=100 + number)
        line = {"tokens": tokens, "needle_spans": [span], "role": "searched" if number < 4 else "held_out"}
        if number == 3:
            # Behind the needle's first token, which the prompt ends with.
            line["continuation_tokens"] = tokens[span[0] + 1 : span[1]] + tokens[:3]
        lines.append(line)
    return lines


def make(output: Path, device: str) -> int:
    """Writes the capture, in the place of one that is there; the command's exit status."""
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        folder = Path(name)
        for role, fields in (("target", TARGET), ("draft", DRAFT)):
            induction.build("qwen2", **fields).save_pretrained(folder / f"tiny-qwen2-{role}")
        file = folder / "needles.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in prompts()))
        status = main(
            [
                *("--target", str(folder / "tiny-qwen2-target"), "--draft", str(folder / "tiny-qwen2-draft")),
                *("--prompts", str(file), "--output", str(folder / "capture.safetensors")),
                *("--steps", str(STEPS), "--observe", "8", "--values", "--logits", "--rank"),
                *("--device", device, "--dtype", "bfloat16", "--quiet"),
            ]
        )
        if status == 0:
            (folder / "capture.safetensors").replace(output)
        return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the capture that the Rust tests read.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    sys.exit(make(asked.output, asked.device))
