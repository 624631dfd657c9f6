"""Small models of all families with random weights, saved as checkpoints, and runs of the command on them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors")

from dustin_capture import layout
from dustin_capture.__main__ import main

FAMILIES = ("qwen2", "qwen3", "llama", "mistral")
VOCABULARY = 97


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="auto", help="cpu or cuda; auto takes a GPU where there is one")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    asked = request.config.getoption("--device")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


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


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with a small model: `checkpoint(family, seed, **fields of its config)`."""
    made: dict[str, Path] = {}

    def make(family: str, seed: int = 0, **fields: Any) -> Path:
        key = json.dumps([family, seed, fields], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("models") / f"small-{family}-{seed}"
            small(family, seed, **fields).save_pretrained(made[key])
        return made[key]

    return make


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


@pytest.fixture
def run(tmp_path: Path, device: str) -> Callable[..., Capture]:
    """Runs the command, in fp32; `prompts` are lines of its file."""

    def capture(target: Path, prompts: list[dict[str, Any]], *arguments: str, to: str = "out") -> Capture:
        file = write_prompts(tmp_path, prompts)
        assert main(command(target, file, tmp_path / to, device, *arguments)) == 0
        return Capture(tmp_path / to)

    return capture


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
