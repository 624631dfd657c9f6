"""What the package's commands have in common: the device, and what is said of ends that were not asked for."""

import sys
from collections.abc import Callable

import torch
import transformers

from .errors import CaptureError


def device(asked: str) -> str:
    """The device to load models on."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return asked


def answered(run: Callable[[], None], interrupted: str) -> int:
    """Runs a command; its exit status. What a user can mend is said in one sentence."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        run()
    except CaptureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        return 130
    return 0
