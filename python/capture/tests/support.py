"""Small models of all families with random weights, captures as a reader finds them, and the command's arguments."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
import transformers

from dustin_capture import layout

FAMILIES = ("qwen2", "qwen3", "llama", "mistral")
VOCABULARY = 97


def small(family: str, seed: int, **fields: Any) -> Any:
    """A model in fp32 whose attention is far from uniform."""
    stated = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": None,
    } | fields
    if family == "mistral":
        stated.setdefault("sliding_window", None)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(family, **stated))
    for name, parameter in model.named_parameters():
        # Norms of ones and biases of zero would hide one that is left out.
        if "norm" in name or "bias" in name:
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
    return model.float().eval()


@dataclass
class Capture:
    """A capture as a reader finds it, one file or many."""

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_dir():
            index = json.loads((self.path / layout.INDEX).read_text())
            text, self.files = index["metadata"][layout.METADATA], index["weight_map"]
        else:
            with safetensors.safe_open(self.path, "pt") as file:
                text = file.metadata()[layout.METADATA]
                self.files = dict.fromkeys(file.keys(), "")
        self.metadata = json.loads(text)

    def __getitem__(self, name: str) -> Any:
        with safetensors.safe_open(self.path / self.files[name], "pt") as file:
            return file.get_tensor(name)

    def tensors(self) -> dict[str, Any]:
        return {name: self[name] for name in sorted(self.files)}


def write_prompts(folder: Path, prompts: list[dict[str, Any]]) -> Path:
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return file


def command(target: Path, prompts: Path, output: Path, device: str, *arguments: str) -> list[str]:
    return [
        *("--target", str(target), "--prompts", str(prompts), "--output", str(output)),
        *("--device", device, "--dtype", "float32", "--quiet", *arguments),
    ]


def tokens(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (length,), generator=generator).tolist()


def difference(one: Any, other: Any) -> float:
    """Of two tensors, relative to the second one's norm: what 16-bit numbers leave comparable."""
    return float((one.double() - other.double()).norm() / other.double().norm())
