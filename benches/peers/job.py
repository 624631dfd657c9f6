"""What a peer is: for each of its workloads a job, over inputs that take turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

try:
    import torch
except (ImportError, OSError):  # the list of figures does without
    torch = None  # type: ignore[assignment]

DEVICE = "cuda"
SPARSE, FULL = "sparse attention", "full attention"
SCORING, SELECTION = "scoring", "selection"


@dataclass(frozen=True)
class Job:
    """Inputs that take turns, and a launch over the input whose turn it is."""

    turns: int
    launch: Callable[[int], object]


@dataclass(frozen=True)
class Peer:
    """Another implementation of an operation, and the workloads that it can run."""

    operation: str
    name: str
    prepare: Callable[[Any], Job]
    workloads: tuple[str, ...]


def bf16(*shape: int) -> Any:
    return torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16)


def turns(read_bytes: int) -> int:
    """Inputs for each to return only after twice the L2 cache has been read."""
    between = 2 * torch.cuda.get_device_properties(0).L2_cache_size
    return 1 if read_bytes >= between else -(-between // read_bytes) + 1
