"""torch's inductor gives other results than eager mode where an operation writes to two views of one tensor.

Prints `eager True, aot_eager True, inductor False` with torch 2.11. See docs/decisions/0020-python.md.
"""

import torch


@torch.library.custom_op("reproducer::add", mutates_args=("keys", "values"))
def add(keys: torch.Tensor, values: torch.Tensor) -> None:
    keys.add_(1)
    values.add_(2)


@add.register_fake
def _(keys: torch.Tensor, values: torch.Tensor) -> None:
    return None


def step(keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    torch.ops.reproducer.add(keys, values)
    return keys.sum() + values.sum()


def right(backend: str) -> bool:
    """Whether a compiled step leaves in the tensor what an eager one does."""
    expected, actual = (torch.arange(24.0).view(2, 3, 4) for _ in range(2))
    step(*expected.unbind(0))
    torch.compiler.reset()
    torch.compile(step, fullgraph=True, backend=backend)(*actual.unbind(0))
    return torch.equal(actual, expected)


print(", ".join(f"{backend} {right(backend)}" for backend in ("eager", "aot_eager", "inductor")))
