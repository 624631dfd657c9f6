"""The device, checkpoints of small models, and runs of the command on them.

torch and what goes with it are imported where they are used: without them the tests are skipped, not broken.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="auto", help="cpu or cuda; auto takes a GPU where there is one")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    import torch

    asked = request.config.getoption("--device")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder with a small model: `checkpoint(family, seed, **fields of its config)`."""
    import transformers
    from support import small

    transformers.utils.logging.disable_progress_bar()
    made: dict[str, Path] = {}

    def make(family: str, seed: int = 0, **fields: Any) -> Path:
        key = json.dumps([family, seed, fields], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("models") / f"small-{family}-{seed}"
            small(family, seed, **fields).save_pretrained(made[key])
        return made[key]

    return make


@pytest.fixture
def run(tmp_path: Path, device: str) -> Callable[..., Any]:
    """Runs the command, in fp32; `prompts` are lines of its file. The capture."""
    from support import Capture, command, write_prompts

    from dustin_capture.__main__ import main

    def capture(target: Path, prompts: list[dict[str, Any]], *arguments: str, to: str = "out") -> Capture:
        file = write_prompts(tmp_path, prompts)
        assert main(command(target, file, tmp_path / to, device, *arguments)) == 0
        return Capture(tmp_path / to)

    return capture
