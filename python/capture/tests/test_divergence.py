"""What sets do to a model's output distribution, on models whose attention is known; and sets that are none."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import induction
import torch
from induction import Planted
from safetensors.torch import load_file, save_file
from support import Capture, small, tokens

from dustin_capture import layout
from dustin_capture.bootstrap import lower_bound, upper_bound
from dustin_capture.captured import Captured
from dustin_capture.divergence import main

GAMMA, STEPS = 3, 12


Chooser = Callable[[int, int], Sequence[int] | None]
"""From prompt and confirmed length to positions, or nothing for all of them."""


def write_sets(file: Path, capture: Capture, choose: Chooser, changed: dict[str, Any] | None = None) -> Path:
    """Sets of every fourth step of all prompts; `changed` replaces fields of the metadata, or tensors by their names."""
    changed = changed or {}
    prompts = capture.metadata["prompts"]
    tensors = {}
    for number, prompt in enumerate(prompts):
        lengths = list(range(prompt["prompt_tokens"], prompt["tokens"] - GAMMA, GAMMA + 1))
        kept = [choose(number, length) for length in lengths]
        sizes = [layout.EVERYTHING if positions is None else len(positions) for positions in kept]
        positions = [position for positions in kept for position in positions or []]
        for what, numbers in (("lengths", lengths), ("sizes", sizes), ("positions", positions)):
            tensors[layout.sets(number, what)] = torch.tensor(numbers, dtype=torch.int32)
    stated = {
        "version": layout.SETS_VERSION,
        "name": "test",
        "digest": Captured(capture.path).digest,
        "gamma": GAMMA,
        "prompts": list(range(len(prompts))),
    }
    for name, value in changed.items():
        (tensors if name in tensors else stated)[name] = value
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, file, metadata={layout.SETS: json.dumps(stated)})
    return file


@pytest.fixture
def measured(tmp_path: Path, device: str) -> Callable[..., dict[str, Any]]:
    """Runs the command in fp32; what it writes."""

    def measure(model: Path, capture: Capture, choose: Chooser, *arguments: str) -> dict[str, Any]:
        sets = write_sets(tmp_path / "sets.safetensors", capture, choose)
        output = tmp_path / f"divergence-{len(list(tmp_path.iterdir()))}.json"
        assert main(command(model, capture.path, sets, output, device, *arguments)) == 0
        return json.loads(output.read_text())

    return measure


def command(model: Path, capture: Path, sets: Path, output: Path, device: str, *arguments: str) -> list[str]:
    return [
        *("--target", str(model), "--capture", str(capture), "--sets", str(sets), "--output", str(output)),
        *("--device", device, "--quiet", *arguments),
    ]


@pytest.mark.parametrize("family", ["qwen2", "llama"])
@pytest.mark.parametrize("captured", [True, False], ids=["captured", "computed"])
def test_sets_of_everything_change_nothing(family, captured, checkpoint, run, measured):
    prompts = [{"tokens": tokens(30 + number, number)} for number in range(3)]
    options = ("--steps", str(STEPS), *(("--logits",) if captured else ()))
    capture = run(checkpoint(family), prompts, *options)
    # As the flag, and listed; and in passes shorter than a step.
    for choose, chunk in (
        (lambda *_: None, "64"),
        (lambda _, length: range(length), "64"),
        (lambda *_: None, "3"),
    ):
        found = measured(checkpoint(family), capture, choose, "--chunk", chunk)
        assert found["agreement"] == {"mean": 1.0, "at_least": 1.0}
        assert abs(found["divergence"]["mean"]) < 1e-6
        for prompt in found["prompts"]:
            assert abs(prompt["divergence"]) < 1e-6 and abs(prompt["rounding"]) < 1e-6
            assert prompt["rows"] == 3 * (GAMMA + 1)
        assert all(prompt["rounding"] == 0 for prompt in found["prompts"]) or captured


def eager(model: Any, ids: list[int], seen: torch.Tensor) -> torch.Tensor:
    """Logits of transformers' own eager attention under a mask, `[rows, tokens]`."""
    model.set_attn_implementation("eager")
    mask = torch.zeros(1, 1, *seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids]), attention_mask=mask).logits[0]


def test_the_divergence_is_that_of_the_rows_under_a_mask(checkpoint, run, measured):
    prompt = 30
    capture = run(checkpoint("qwen2"), [{"tokens": tokens(prompt, 1)}], "--steps", str(STEPS))
    kept = [0, 1, 5, 17, 23, 29]
    found = measured(checkpoint("qwen2"), capture, lambda _, length: [*kept, *range(30, length)])
    ids = capture[layout.tokens(0)].tolist()
    causal = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    model = small("qwen2", 0)
    full = eager(model, ids, causal)
    divergences, agreements = [], []
    for length in range(prompt, len(ids) - GAMMA, GAMMA + 1):
        # Confirmed tokens read all before them, and the step's rows only the set and each other.
        end = length + GAMMA + 1
        seen = causal[:end, :end].clone()
        seen[length:, :length] = False
        seen[length:, [*kept, *range(30, length)]] = True
        sparse = eager(model, ids[:end], seen)[length:].double().log_softmax(-1)
        expected = full[length:end].double().log_softmax(-1)
        divergences += (expected.exp() * (expected - sparse)).sum(-1).tolist()
        agreements += (expected.argmax(-1) == sparse.argmax(-1)).tolist()
    mean = sum(divergences) / len(divergences)
    assert mean > 0.01
    assert found["prompts"][0]["divergence"] == pytest.approx(mean, rel=1e-3)
    assert found["prompts"][0]["agreement"] == pytest.approx(sum(agreements) / len(agreements))


def test_a_model_that_copies_a_needle_diverges_without_it(tmp_path, run, measured):
    needle, length = 14, 60
    induction.build("llama", 3, 4, 2, Planted((0, 1), (2, 3)), seed=2).save_pretrained(tmp_path / "model")
    made = [induction.prompt(length, needle, at=8 + 9 * number, seed=number) for number in range(4)]
    prompts = [{"tokens": tokens, "needle_spans": [span], "role": "held_out"} for tokens, span in made]
    capture = run(tmp_path / "model", prompts, "--steps", str(STEPS), "--logits")
    assert all(prompt["needle_recall"] > 0.8 for prompt in capture.metadata["prompts"])

    def around(prompt: int, confirmed: int) -> list[int]:
        """Sinks, recent tokens and the needle."""
        start, end = made[prompt][1]
        return sorted({*range(4), *range(start, end), *range(confirmed - 8, confirmed)})

    def without(prompt: int, confirmed: int) -> list[int]:
        start, end = made[prompt][1]
        return [position for position in range(confirmed) if not start <= position < end]

    few, most = (measured(tmp_path / "model", capture, choose) for choose in (around, without))
    assert few["divergence"]["mean"] < 0.1 and few["agreement"]["mean"] == 1
    assert most["divergence"]["mean"] > 1 and most["agreement"]["mean"] < 0.5
    assert few["divergence"]["at_most"] < most["divergence"]["mean"] < most["divergence"]["at_most"]
    assert [prompt["role"] for prompt in few["prompts"]] == ["held_out"] * 4


def test_shards_are_read_as_one_file_is(checkpoint, run, measured):
    prompts = [{"tokens": tokens(24, number)} for number in range(2)]
    model = checkpoint("llama")
    options = ("--steps", str(STEPS), "--logits")
    single = run(model, prompts, *options, to="all.safetensors")
    shards = run(model, prompts, *options, to="shards")

    def recent(_: int, length: int) -> range:
        return range(length - 9, length)

    one, many = (measured(model, capture, recent) for capture in (single, shards))
    assert one["prompts"] == many["prompts"] and one["capture"] != many["capture"]
    assert one["divergence"]["mean"] > 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"version": 2}, "version of dustin.sets must be 1, but is 2"),
        ({"digest": "0" * 64}, "must be of the capture with digest"),
        ({"name": None}, "name must be a text"),
        ({"gamma": 0}, "gamma must be from 1 to 64, but is 0"),
        ({"gamma": True}, "gamma must be from 1 to 64, but is True"),
        ({"gamma": 9}, "prompts.0.lengths must be from 30 to 32, at least one"),
        ({"prompts": []}, "prompts must be different numbers below 2, but are []"),
        ({"prompts": [0, 2]}, "prompts must be different numbers below 2"),
        ({"prompts": [1, 1]}, "prompts must be different numbers below 2"),
        ({"prompts": [[1]]}, "prompts must be different numbers below 2"),
        ({"prompts": [0.0, 1]}, "prompts must be different numbers below 2, but are [0.0, 1]"),
        ({"prompts": [0, True]}, "prompts must be different numbers below 2"),
        ({"prompts.1.sizes": None}, "must have the tensor prompts.1.sizes"),
        ({"prompts.1.sizes": torch.ones(3)}, "prompts.1.sizes must be I32 of one dimension"),
        ({"prompts.0.lengths": [34, 30, 38]}, "prompts.0.lengths must be ascending"),
        ({"prompts.0.lengths": [29, 34, 38]}, "prompts.0.lengths must be from 30 to 38"),
        ({"prompts.0.sizes": [2, 2]}, "prompts.0.sizes must be of 3 steps, but is of 2"),
        ({"prompts.0.sizes": [2, -2, 2]}, "prompts.0.sizes must be at least -1, but is -2"),
        ({"prompts.0.sizes": [2, -1, 2]}, "prompts.0.positions must be 4, as the sizes say, but is 6"),
        ({"prompts.0.positions": [1, 0, 0, 1, 0, 1]}, "prompts.0.positions must be ascending and below 30"),
        ({"prompts.0.positions": [0, 1, 0, 34, 0, 1]}, "prompts.0.positions must be ascending and below 34"),
        ({"prompts.0.positions": [-1, 1, 0, 1, 0, 1]}, "prompts.0.positions must be ascending and below 30"),
    ],
)
def test_sets_that_are_none(changed, says, checkpoint, run, tmp_path, device, capsys):
    model = checkpoint("llama")
    capture = run(model, [{"tokens": tokens(30, number)} for number in range(2)], "--steps", str(STEPS))
    changed = {
        name: torch.tensor(value, dtype=torch.int32) if "." in name and isinstance(value, list) else value
        for name, value in changed.items()
    }
    sets = write_sets(tmp_path / "sets.safetensors", capture, lambda *_: [0, 1], changed)
    error = refused(capsys, command(model, capture.path, sets, tmp_path / "out.json", device))
    assert says in error and "sets.safetensors" in error
    assert not (tmp_path / "out.json").exists()


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_what_does_not_belong_together(checkpoint, run, tmp_path, device, capsys):
    model = checkpoint("llama")
    capture = run(model, [{"tokens": tokens(30, 1)}], "--steps", str(STEPS), to="capture.safetensors")
    sets = write_sets(tmp_path / "sets.safetensors", capture, lambda *_: None)
    output = tmp_path / "out.json"
    other = checkpoint("llama", 1, num_hidden_layers=2)
    error = refused(capsys, command(other, capture.path, sets, output, device))
    assert "must be that of the capture, with layers 3, but has 2" in error
    error = refused(capsys, command(model, sets, sets, output, device))
    assert "must have the metadata entry dustin.calibration, but has none" in error
    error = refused(capsys, command(model, capture.path, capture.path, output, device))
    assert "must have the metadata entry dustin.sets, but has none" in error
    error = refused(capsys, command(model, tmp_path / "nothing", sets, output, device))
    assert "nothing" in error and "cannot be read" in error
    error = refused(capsys, command(model, tmp_path, sets, output, device))
    assert "must be a capture's file, folder or index" in error
    sets.write_bytes(sets.read_bytes()[:40])
    error = refused(capsys, command(model, capture.path, sets, output, device))
    assert "cannot be read" in error
    output.write_text("another's")
    error = refused(capsys, command(model, capture.path, sets, output, device))
    assert "must not be there yet" in error and output.read_text() == "another's"


def test_captured_logits_that_are_not_finite(checkpoint, run, tmp_path, device, capsys):
    model = checkpoint("llama")
    options = ("--steps", str(STEPS), "--logits")
    capture = run(model, [{"tokens": tokens(30, 1)}], *options, to="capture.safetensors")
    tensors = load_file(capture.path)
    tensors[layout.logits("target", 0)][2, 5] = torch.nan
    save_file(tensors, capture.path, metadata={layout.METADATA: json.dumps(capture.metadata)})
    sets = write_sets(tmp_path / "sets.safetensors", capture, lambda *_: None)
    error = refused(capsys, command(model, capture.path, sets, tmp_path / "out.json", device))
    assert "tensor target.prompts.0.logits must be finite, but is not" in error
    assert not (tmp_path / "out.json").exists()


def test_bounds_are_those_of_the_rust_side():
    figures = [0.9 - 0.01 * (prompt * prompt % 7) for prompt in range(12)]
    # As heads/src/fidelity/tests/bounds.rs has it.
    assert lower_bound(figures) == pytest.approx(0.8729, abs=5e-4)
    assert upper_bound([1 - figure for figure in figures]) == pytest.approx(1 - 0.8729, abs=5e-4)
    assert lower_bound([1.0] * 7 + [0.9]) == pytest.approx(0.9)
    assert lower_bound([0.5] * 4) == 0.5
    assert lower_bound([0.5]) is None
