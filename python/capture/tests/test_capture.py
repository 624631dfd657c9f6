"""What is captured is what the models compute, whatever the chunks and the files."""

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from support import FAMILIES, VOCABULARY, Capture, command, difference, small, tokens, write_prompts

from dustin_capture import capture as capturing
from dustin_capture import layout
from dustin_capture.__main__ import main

PROMPT, STEPS, OBSERVED = 37, 5, 4
FIRST = PROMPT - OBSERVED
OPTIONS = ("--steps", str(STEPS), "--observe", str(OBSERVED), "--values", "--logits")


def eager(family: str, seed: int, device: str, ids: Any, **fields: Any) -> tuple[list[Any], Any]:
    """Outputs of each layer's attention, `[tokens, query_heads, head_dim]`, and logits, from transformers' own eager
    attention, in one pass.
    """
    model = small(family, seed, **fields).to(device)
    model.set_attn_implementation("eager")
    outputs: list[Any] = []
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0][0].cpu()))
    with torch.inference_mode():
        logits = model(input_ids=ids[None].to(device)).logits[0].cpu()
    head_dim = model.config.head_dim
    return [output.unflatten(-1, (-1, head_dim)) for output in outputs], logits


def recompute(capture: Capture, layer: int, heads: list[int], group: int) -> Any:
    """Attention of the captured rows from what was captured, `[rows, heads, head_dim]`."""
    model, prompt = capture.metadata["target"], capture.metadata["prompts"][0]
    queries, keys, values = (
        capture[layout.captured("target", 0, layer, what)].double() for what in ("queries", "keys", "values")
    )
    places = [model["kv_heads"].index(head // group) for head in heads]
    scores = queries @ keys[places].mT * model["scale"]
    seen = torch.arange(prompt["tokens"]) <= torch.arange(prompt["first_query"], prompt["tokens"])[:, None]
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values[places]).transpose(0, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_captured_tensors_reproduce_the_models_own_attention_and_logits(family, checkpoint, run, device):
    capture = run(checkpoint(family), [{"tokens": tokens(PROMPT, 1)}], *OPTIONS, "--chunk", "11")
    ids = capture[layout.tokens(0)]
    outputs, logits = eager(family, 0, device, ids.long())
    assert len(outputs) == 3
    for layer, expected in enumerate(outputs):
        torch.testing.assert_close(
            recompute(capture, layer, list(range(6)), 3), expected[FIRST:].double(), atol=2e-4, rtol=2e-4
        )
    captured = capture[layout.logits("target", 0)]
    assert captured.shape == (STEPS + 1, VOCABULARY)
    torch.testing.assert_close(captured, logits[PROMPT - 1 :], atol=2e-3, rtol=2e-4)
    assert ids[PROMPT:].tolist() == captured.argmax(-1)[:STEPS].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_that_are_kept_bring_the_kv_heads_that_they_read(family, checkpoint, run, device):
    options = (*OPTIONS, "--target-layers", "0,2", "--target-heads", "4-5")
    capture = run(checkpoint(family), [{"tokens": tokens(PROMPT, 1)}], *options)
    described = capture.metadata["target"]
    assert (described["layers"], described["heads"], described["kv_heads"]) == ([0, 2], [4, 5], [1])
    assert capture[layout.captured("target", 0, 2, "keys")].shape == (1, PROMPT + STEPS, 16)
    assert layout.captured("target", 0, 1, "keys") not in capture.files
    outputs, _ = eager(family, 0, device, capture[layout.tokens(0)].long())
    torch.testing.assert_close(
        recompute(capture, 2, [4, 5], 3), outputs[2][FIRST:, 4:6].double(), atol=2e-4, rtol=2e-4
    )


def rotate(items: Any, positions: Any, rotary: dict[str, Any]) -> Any:
    """The rotary embedding that the metadata states."""
    angles = positions[:, None] * torch.tensor(rotary["inverse_frequencies"], dtype=torch.float64)
    cos, sin = (part * rotary["attention_scaling"] for part in (angles.cos(), angles.sin()))
    first, second = items.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}


@pytest.mark.parametrize("scaling", [{"rope_type": "default"}, YARN], ids=["default", "yarn"])
def test_the_rotary_state_that_is_stated_turns_projections_into_the_captured_keys(
    scaling, checkpoint, run, device
):
    fields = {"rope_parameters": {"rope_theta": 5000.0, **scaling}}
    capture = run(checkpoint("llama", **fields), [{"tokens": tokens(PROMPT, 1)}], *OPTIONS)
    rotary = capture.metadata["target"]["rotary"]
    assert (rotary["type"], rotary["theta"]) == (scaling["rope_type"], 5000.0)
    model, projected = small("llama", 0, **fields).to(device), []
    model.model.layers[1].self_attn.k_proj.register_forward_hook(
        lambda _, __, output: projected.append(output[0].cpu().double())
    )
    with torch.inference_mode():
        model(input_ids=capture[layout.tokens(0)][None].long().to(device))
    keys = projected[0].unflatten(-1, (2, 16)).transpose(0, 1)
    expected = rotate(keys, torch.arange(keys.shape[1]), rotary)
    torch.testing.assert_close(
        capture[layout.captured("target", 0, 1, "keys")].double(), expected, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_change_no_more_than_rounding_does(family, checkpoint, run):
    prompts = [{"tokens": tokens(PROMPT, 1)}]
    whole, chunked = (
        run(checkpoint(family), prompts, *OPTIONS, "--chunk", chunk, to=chunk).tensors()
        for chunk in ("64", "5")
    )
    assert whole.keys() == chunked.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(
            chunked[name], tensor, atol=1e-3, rtol=1e-4, msg=lambda it, at=name: f"{at}: {it}"
        )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_chunks_of_short_numbers_see_what_whole_prompts_see(dtype, checkpoint, run):
    line = {"tokens": tokens(PROMPT, 1), "continuation_tokens": tokens(STEPS, 2)}
    whole, chunked = (
        run(checkpoint("qwen2"), [line], *OPTIONS, "--dtype", dtype, "--chunk", chunk, to=chunk).tensors()
        for chunk in ("64", "16")
    )
    for name, tensor in whole.items():
        if name != layout.tokens(0):
            assert tensor.dtype == getattr(torch, dtype)
            assert difference(chunked[name], tensor) < 0.05, name


def test_a_continuation_that_is_given_is_recorded_as_one_that_is_generated(checkpoint, run):
    generated = run(checkpoint("qwen2"), [{"tokens": tokens(PROMPT, 1)}], *OPTIONS, to="generated")
    continuation = generated[layout.tokens(0)][PROMPT:].tolist()
    line = {"tokens": tokens(PROMPT, 1), "continuation_tokens": continuation}
    forced = run(checkpoint("qwen2"), [line], *OPTIONS, to="forced")
    assert generated.metadata["prompts"][0]["continuation"] == "generated"
    assert forced.metadata["prompts"][0]["continuation"] == "forced"
    for name, tensor in generated.tensors().items():
        torch.testing.assert_close(forced[name], tensor, atol=1e-3, rtol=1e-4)


def test_one_file_and_shards_hold_the_same(checkpoint, run):
    prompts = [{"tokens": tokens(20 + number, number)} for number in range(3)]
    options = (*OPTIONS, "--draft", str(checkpoint("llama", 1, num_hidden_layers=2)))
    single = run(checkpoint("llama"), prompts, *options, to="all.safetensors")
    sharded = run(checkpoint("llama"), prompts, *options, to="shards")
    assert single.metadata == sharded.metadata
    one, many = single.tensors(), sharded.tensors()
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)
    assert len(set(sharded.files.values())) == 3 * (3 + 2 + 1)
    assert not list(single.path.parent.glob("*.partial"))


def test_the_same_command_writes_the_same_bytes(checkpoint, run):
    options = (*OPTIONS, "--draft", str(checkpoint("qwen3", 1)))
    one, two = (
        run(checkpoint("qwen3"), [{"tokens": tokens(30, 1)}], *options, to=name)
        for name in ("a.safetensors", "b.safetensors")
    )
    assert one.path.read_bytes() == two.path.read_bytes()


def test_the_draft_reads_the_tokens_that_the_target_generated(checkpoint, run, device):
    draft = checkpoint("qwen2", 7, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1)
    capture = run(checkpoint("qwen2"), [{"tokens": tokens(PROMPT, 1)}], *OPTIONS, "--draft", str(draft))
    fields = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1}
    _, logits = eager("qwen2", 7, device, capture[layout.tokens(0)].long(), **fields)
    torch.testing.assert_close(capture[layout.logits("draft", 0)], logits[PROMPT - 1 :], atol=2e-3, rtol=2e-4)
    assert capture[layout.captured("draft", 0, 1, "queries")].shape == (4, OBSERVED + STEPS, 16)
    assert capture.metadata["draft"]["geometry"]["kv_heads"] == 1


def test_generation_stops_behind_the_token_that_ends_a_text(checkpoint, run):
    prompts = [{"tokens": tokens(PROMPT, 1)}]
    whole = run(checkpoint("mistral"), prompts, "--steps", "6", to="whole")[layout.tokens(0)].tolist()
    end = whole[PROMPT + 2]
    until = whole.index(end, PROMPT) + 1
    model = checkpoint("mistral", eos_token_id=end)
    stopped, ignored = (
        run(model, prompts, "--steps", "6", *more, to=name)
        for name, more in (("stopped", ()), ("ignored", ("--ignore-eos",)))
    )
    assert stopped[layout.tokens(0)].tolist() == whole[:until]
    assert stopped.metadata["prompts"][0]["tokens"] == until
    assert ignored[layout.tokens(0)].tolist() == whole


def test_a_run_that_was_interrupted_goes_on_behind_its_last_whole_prompt(
    checkpoint, run, tmp_path, device, monkeypatch, capsys
):
    prompts = [{"tokens": tokens(20, number)} for number in range(3)]
    options = (*OPTIONS, "--draft", str(checkpoint("llama", 1)))
    whole = run(checkpoint("llama"), prompts, *options, to="whole")
    arguments = command(
        checkpoint("llama"), tmp_path / "prompts.jsonl", tmp_path / "halted", device, *options
    )
    begun: list[int] = []
    original = capturing._Prompt.run

    def halting(self, models):
        begun.append(self._number)
        if begun == [0, 1]:
            raise KeyboardInterrupt
        return original(self, models)

    monkeypatch.setattr(capturing._Prompt, "run", halting)
    assert main(arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "halted").exists()
    # Another capture does not mix with what is there.
    assert main([*arguments, "--chunk", "7"]) == 1
    assert "holds part of another capture" in capsys.readouterr().err
    assert main(arguments) == 0
    assert begun == [0, 1, 1, 2]
    halted = Capture(tmp_path / "halted")
    assert halted.metadata == whole.metadata
    assert all(torch.equal(halted[name], tensor) for name, tensor in whole.tensors().items())


def test_prompts_without_a_role_are_held_out_by_their_share_evenly_spread(checkpoint, run, tmp_path):
    prompts = [{"tokens": tokens(8, number)} for number in range(8)]
    prompts[2]["role"] = "held_out"
    capture = run(checkpoint("llama"), prompts, "--steps", "1", "--held-out", "0.29")
    held_out = [prompt["role"] == "held_out" for prompt in capture.metadata["prompts"]]
    assert held_out == [False, False, True, False, True, False, False, True]
    assert write_prompts(tmp_path, prompts).exists()
