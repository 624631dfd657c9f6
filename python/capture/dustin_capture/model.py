"""Loading a model whose attention can be recorded, and describing it."""

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from . import attention
from .errors import CaptureError, first_line

FAMILIES = ("qwen2", "qwen3", "llama", "mistral")

FIXED_ROTARY = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not change while a context grows, as keys in a cache do not."""

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
SAFETENSORS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class Kept:
    """What is recorded of a model: layers and query heads, ascending, and the KV heads that these read."""

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    role: str
    """target or draft."""
    name: str
    """As checkpoints are called: the last part of a path or of a name on the hub."""
    module: PreTrainedModel
    config: dict[str, Any]
    """As config.json has it."""
    geometry: dict[str, int]
    kept: Kept
    dtype: str

    @property
    def device(self) -> torch.device:
        return self.module.get_input_embeddings().weight.device

    @property
    def longest(self) -> int:
        """The longest context that the model states."""
        return int(self.config["max_position_embeddings"])

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        stated = self.module.generation_config.eos_token_id
        return frozenset([stated] if isinstance(stated, int) else stated or [])

    def describe(self) -> dict[str, Any]:
        """The model's part of the metadata."""
        return {
            "name": self.name,
            "geometry": self.geometry,
            "dtype": SAFETENSORS[self.dtype],
            "scale": float(self.module.base_model.layers[0].self_attn.scaling),
            "rotary": self._rotary(),
            "layers": list(self.kept.layers),
            "heads": list(self.kept.heads),
            "kv_heads": list(self.kept.kv_heads),
            "config": self.config,
        }

    def _rotary(self) -> dict[str, Any]:
        rotary = self.module.base_model.rotary_emb
        parameters = self.module.config.rope_parameters
        return {
            "type": parameters["rope_type"],
            "theta": float(parameters["rope_theta"]),
            "attention_scaling": float(rotary.attention_scaling),
            "inverse_frequencies": rotary.inv_freq.float().tolist(),
        }


def load(
    role: str, name: str, dtype: str, device: str, layers: list[int] | None, heads: list[int] | None
) -> Model:
    """The model, ready to be recorded; without layers or heads named, all of them are kept.

    CaptureError for a model that cannot be read or whose attention is another, and for layers or heads that it
    does not have.
    """
    config = _config(role, name)
    stated = json.loads(config.to_json_string(use_diff=False))
    stated.pop("_name_or_path", None)
    _require_full_attention(role, config)
    geometry = _geometry(config)
    kept = keep(role, geometry, layers, heads)
    module = _weights(role, name, config, dtype, device)
    return Model(role, PurePath(name).name, module, stated, geometry, kept, dtype)


def _config(role: str, name: str) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise CaptureError(f"{role} model {name}: its config cannot be read ({first_line(error)})") from error
    if config.model_type not in FAMILIES:
        families = ", ".join(FAMILIES)
        raise CaptureError(
            f"{role} model {name}: model_type must be one of {families}, whose grouped-query attention is "
            f"recorded, but is {config.model_type}"
        )
    rotary = config.rope_parameters["rope_type"]
    if rotary not in FIXED_ROTARY:
        raise CaptureError(
            f"{role} model {name}: the rotary type must be one of {', '.join(FIXED_ROTARY)}, but is {rotary}, "
            f"with which keys depend on how long the context has become"
        )
    if config.num_attention_heads % config.num_key_value_heads:
        raise CaptureError(
            f"{role} model {name}: num_key_value_heads must divide num_attention_heads, "
            f"{config.num_attention_heads}, but is {config.num_key_value_heads}"
        )
    return config


def _require_full_attention(role: str, config: PretrainedConfig) -> None:
    """Refuses sliding windows that are at work, and takes out those that never are."""
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None)
    if window is None or (layers is not None and "sliding_attention" not in layers):
        return
    if window < config.max_position_embeddings:
        raise CaptureError(
            f"{role} model {config.name_or_path}: sliding_window must be null, or no shorter than "
            f"max_position_embeddings, {config.max_position_embeddings}, as all layers must see the whole "
            f"context, but is {window}"
        )
    config.sliding_window = None
    if layers is not None:
        config.layer_types = ["full_attention"] * len(layers)


def _geometry(config: PretrainedConfig) -> dict[str, int]:
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        "layers": config.num_hidden_layers,
        "query_heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": head_dim,
        "hidden": config.hidden_size,
        "intermediate": config.intermediate_size,
        "vocabulary": config.vocab_size,
    }


def keep(role: str, geometry: dict[str, int], layers: list[int] | None, heads: list[int] | None) -> Kept:
    """The layers and heads asked for; CaptureError if the model has not got them."""

    def checked(what: str, asked: list[int] | None, there: int) -> tuple[int, ...]:
        numbers = sorted(set(range(there) if asked is None else asked))
        if numbers and 0 <= numbers[0] and numbers[-1] < there:
            return tuple(numbers)
        raise CaptureError(f"--{role}-{what}: numbers must be from 0 to {there - 1}, but are {asked}")

    chosen = checked("heads", heads, geometry["query_heads"])
    group = geometry["query_heads"] // geometry["kv_heads"]
    kv_heads = tuple(sorted({head // group for head in chosen}))
    return Kept(checked("layers", layers, geometry["layers"]), chosen, kv_heads)


def _weights(role: str, name: str, config: PretrainedConfig, dtype: str, device: str) -> PreTrainedModel:
    spread = {"device_map": "auto"} if device == "spread" else {}
    try:
        module, info = AutoModelForCausalLM.from_pretrained(
            name,
            config=config,
            dtype=DTYPES[dtype],
            attn_implementation=attention.NAME,
            output_loading_info=True,
            **spread,
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise CaptureError(
            f"{role} model {name}: its weights cannot be loaded ({first_line(error)})"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise CaptureError(
            f"{role} model {name}: the weights must hold every tensor of the model, but lack {len(missing)} of "
            f"them, {missing[0]} first"
        )
    try:
        return (module if spread else module.to(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise CaptureError(
            f"--device {device}: cannot hold the {role} model ({first_line(error)})"
        ) from error
