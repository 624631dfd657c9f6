"""How sure a mean over prompts is: the studentised bootstrap, as the Rust crate `heads` has it (docs/decisions/0024-heads.md)."""

import torch

CONFIDENCE = 0.95
RESAMPLES = 4000


def lower_bound(figures: list[float]) -> float | None:
    """A lower bound of the mean, one figure for each prompt; nothing for one prompt, which says nothing of others."""
    count = len(figures)
    if count < 2:
        return None
    values = torch.tensor(figures, dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    drawn = values[torch.randint(count, (RESAMPLES, count), generator=random)]
    mean, error = values.mean(), values.std() / count**0.5
    distances = (drawn.mean(dim=1) - mean) / (drawn.std(dim=1) / count**0.5)
    # Without a distance, whatever the error.
    distances = distances.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sort().values
    beyond = int((1 - CONFIDENCE) * RESAMPLES)
    farther = max(distances[RESAMPLES - 1 - beyond], -distances[beyond])
    return float(max(mean - farther * error, values.min()) if error > 0 else mean)


def upper_bound(figures: list[float]) -> float | None:
    lower = lower_bound([-figure for figure in figures])
    return None if lower is None else -lower
