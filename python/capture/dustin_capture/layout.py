"""The layout's names: tensors, files, the one metadata entry. docs/calibration.md says what they hold."""

import json
from collections.abc import Mapping
from typing import Any

VERSION = 1

METADATA = "dustin.calibration"
"""The only metadata entry, one JSON text: safetensors writes several entries in no certain order, and files are
to be the same bytes for the same run.
"""

MODELS = ("target", "draft")
SEARCHED, HELD_OUT = "searched", "held_out"
INDEX = "calibration.safetensors.index.json"


def tokens(prompt: int) -> str:
    return f"prompts.{prompt}.tokens"


def captured(model: str, prompt: int, layer: int, what: str) -> str:
    """`what` is queries, keys or values."""
    return f"{model}.prompts.{prompt}.layers.{layer}.{what}"


def logits(model: str, prompt: int) -> str:
    return f"{model}.prompts.{prompt}.logits"


def ranking(model: str) -> str:
    return f"{model}.ranking.scores"


def layer_file(model: str, prompt: int, layer: int) -> str:
    return f"{model}-{prompt:05}-{layer:03}.safetensors"


def prompt_file(prompt: int) -> str:
    return f"prompt-{prompt:05}.safetensors"


SETS_VERSION = 1

SETS = "dustin.sets"
"""The only metadata entry of a file of verification sets."""

EVERYTHING = -1
"""In place of a set's size: all confirmed tokens."""


def sets(prompt: int, what: str) -> str:
    """`what` is lengths, sizes or positions."""
    return f"prompts.{prompt}.{what}"


RANKING_FILE = "ranking.safetensors"


def metadata(content: Mapping[str, Any]) -> dict[str, str]:
    """As safetensors takes it: the same text for the same content."""
    text = json.dumps({"version": VERSION, **content}, separators=(",", ":"), ensure_ascii=False)
    return {METADATA: text}
