"""From a model to its verifier, on a small pair of Qwen2 models with random weights.

    PYTHONPATH=python/capture python python/capture/examples/end_to_end.py end-to-end/

Captures both models on prompts with needles and ranks their heads, has `autotune heads` search for those that should score on the
device at hand, and runs a verifier of the profile that comes of it on the prompts that nothing was chosen by. With models of one's
own, the commands are the same; this prints them.
"""

import argparse
import json
import random
import shlex
import subprocess
import sys
from pathlib import Path

import torch
import transformers

CAPTURE, VERIFY = ["-m", "dustin_capture"], ["-p", "dustin-heads", "--example", "verify_capture", "--"]
TUNE = ["-p", "dustin-autotune", "--"]

VOCABULARY = 256
NEEDLE = 12
GAMMA = 4
SHARED = {
    "vocab_size": VOCABULARY,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    # Attention of weights as small as usual is nearly uniform, so that all heads would be alike.
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": None,
}
TARGET = {
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "hidden_size": 256,
    "intermediate_size": 512,
}
DRAFT = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 128,
    "intermediate_size": 256,
}


def save_model(folder: Path, seed: int, **fields: int) -> None:
    """Writes a model with random weights, as `save_pretrained` does."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model("qwen2", **SHARED, **fields)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def prompts(count: int, length: int) -> list[dict[str, object]]:
    """Random tokens, each with a needle at another place; every third is held out."""
    generator = random.Random(1)
    lines = []
    for number in range(count):
        tokens = [generator.randrange(VOCABULARY) for _ in range(length + 8 * number)]
        first = generator.randrange(16, len(tokens) - NEEDLE - 16)
        role = "held_out" if number % 3 == 2 else "searched"
        lines.append(
            {
                "tokens": tokens,
                "needle_spans": [[first, first + NEEDLE]],
                "role": role,
                "name": f"needle-{number}",
            }
        )
    return lines


def run(command: list[str]) -> None:
    """Runs a command, and ends with its exit status if it fails."""
    print("\n$ " + shlex.join(command), flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        sys.exit(status)


def main() -> None:
    """Runs all links of the chain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for models, capture and profile")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--prompts", type=int, default=18)
    parser.add_argument("--length", type=int, default=400)
    parser.add_argument("--share", type=float, default=0.9)
    parser.add_argument(
        "--cargo", default="cargo run --release --quiet", help="how the Rust programs are run"
    )
    asked = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()

    folder = asked.output
    folder.mkdir(parents=True, exist_ok=True)
    models = {role: folder / f"random-qwen2-{role}" for role in ("target", "draft")}
    save_model(models["target"], seed=1, **TARGET)
    save_model(models["draft"], seed=2, **DRAFT)
    file, capture, profile = folder / "needles.jsonl", folder / "capture.safetensors", folder / "profile.toml"
    file.write_text("".join(json.dumps(line) + "\n" for line in prompts(asked.prompts, asked.length)))
    for old in (capture, profile):
        old.unlink(missing_ok=True)

    given = ["--target", str(models["target"]), "--draft", str(models["draft"]), "--prompts", str(file)]
    # Random weights copy no needle: the continuation is the needle, and heads are ranked by the same sum.
    how = ["--rank", "--force-needle", "--values", "--observe", "32", "--device", asked.device, "--quiet"]
    run([sys.executable, *CAPTURE, *given, *how, "--output", str(capture)])

    cargo = shlex.split(asked.cargo)
    configs = [f"--{role}-config={path / 'config.json'}" for role, path in models.items()]
    budgets = ["--budget-k=96", "--sinks=4", "--recent=8", f"--gamma={GAMMA}", f"--share={asked.share}"]
    where = ["--device", asked.device, "--batch=4", "--context=2048", "--output", str(profile), "--html"]
    run([*cargo, *TUNE, "heads", str(capture), *configs, *budgets, *where])
    run([*cargo, *VERIFY, str(capture), "--profile", str(profile), f"--gamma={GAMMA}"])


if __name__ == "__main__":
    main()
