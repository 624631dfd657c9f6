"""Verification sets of a capture's steps, as the Rust side writes them. docs/calibration.md says what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from . import layout
from .captured import Captured
from .files import File, sha256


@dataclass(frozen=True)
class Step:
    length: int
    """Confirmed tokens."""
    positions: torch.Tensor | None
    """Those of them that the step's rows see, ascending; all of them if there is none."""


@dataclass(frozen=True)
class Sets:
    name: str
    digest: str
    gamma: int
    steps: dict[int, list[Step]]
    """By prompt."""


def read(path: Path, captured: Captured) -> Sets:
    """CaptureError for a file that is none, or is another capture's."""
    file = File("--sets", path)
    stated = file.entry(layout.SETS, layout.SETS_VERSION)
    name, digest, gamma, prompts = (stated.get(field) for field in ("name", "digest", "gamma", "prompts"))
    if digest != captured.digest:
        raise file.failed(f"must be of the capture with digest {captured.digest}, but is of {digest}")
    if not isinstance(name, str):
        raise file.failed(f"name must be a text, but is {name}")
    # True is an int to Python, and 1.0 is in a range.
    if type(gamma) is not int or not 1 <= gamma <= 64:
        raise file.failed(f"gamma must be from 1 to 64, but is {gamma}")
    numbers = range(len(captured.prompts))
    if (
        not isinstance(prompts, list)
        or not prompts
        or any(type(prompt) is not int or prompt not in numbers for prompt in prompts)
        or len(set(prompts)) < len(prompts)
    ):
        raise file.failed(f"prompts must be different numbers below {len(numbers)}, but are {prompts}")
    return Sets(
        name, sha256(path), gamma, {prompt: _steps(file, captured, gamma, prompt) for prompt in prompts}
    )


def _steps(file: File, captured: Captured, gamma: int, prompt: int) -> list[Step]:
    lengths, sizes, positions = (_numbers(file, prompt, what) for what in ("lengths", "sizes", "positions"))
    described = captured.prompts[prompt]
    first, end = described["prompt_tokens"], described["tokens"] - gamma

    def require(what: str, right: bool, required: str, actual: object) -> None:
        if not right:
            raise file.failed(f"{layout.sets(prompt, what)} must be {required}, but is {actual}")

    inside = all(first <= length < end for length in lengths)
    require("lengths", bool(lengths) and inside, f"from {first} to {end - 1}, at least one", lengths)
    require("lengths", _are_ascending(lengths), "ascending", lengths)
    require("sizes", len(sizes) == len(lengths), f"of {len(lengths)} steps", f"of {len(sizes)}")
    require("sizes", min(sizes) >= layout.EVERYTHING, f"at least {layout.EVERYTHING}", min(sizes))
    total = sum(max(size, 0) for size in sizes)
    require("positions", len(positions) == total, f"{total}, as the sizes say", len(positions))
    steps, begin = [], 0
    for length, size in zip(lengths, sizes, strict=True):
        if size == layout.EVERYTHING:
            steps.append(Step(length, None))
            continue
        kept = positions[begin : begin + size]
        begin += size
        right = _are_ascending(kept) and (not kept or (0 <= kept[0] and kept[-1] < length))
        require("positions", right, f"ascending and below {length} in the step of that length", kept[:8])
        steps.append(Step(length, torch.tensor(kept, dtype=torch.int64)))
    return steps


def _numbers(file: File, prompt: int, what: str) -> list[int]:
    name = layout.sets(prompt, what)
    tensor = file.tensor(name)
    if tensor.dtype != torch.int32 or tensor.dim() != 1:
        raise file.failed(f"{name} must be I32 of one dimension, but is {tensor.dtype} {list(tensor.shape)}")
    return tensor.tolist()


def _are_ascending(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))
