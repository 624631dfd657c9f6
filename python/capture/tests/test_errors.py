"""What cannot be captured is refused in one sentence that says what and where."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import load_file, save_file
from support import command, tokens, write_prompts

from dustin_capture.__main__ import main

GOOD = {"tokens": tokens(12, 1), "needle_spans": [[2, 4]], "role": "searched"}


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tokens": []}, "tokens must be at least one token"),
        ({"tokens": None}, "text must be there, or tokens in its place"),
        ({"tokens": [1, -2]}, "tokens must be a list of token numbers, but is [1, -2]"),
        ({"tokens": [1, True]}, "tokens must be a list of token numbers"),
        ({"text": "a"}, "text must be absent, as there is tokens"),
        ({"name": 7}, "name must be a text, but is 7"),
        ({"role": "test"}, 'role must be searched or held_out, but is "test"'),
        ({"needel": "x"}, "needel must be no field; there are continuation"),
        ({"needle_spans": [[3]]}, "needle_spans must be a list of [start, end]"),
        ({"needle_spans": [[4, 4]]}, "within the prompt's 12 tokens, start before end"),
        ({"needle_spans": [[4, 13]]}, "within the prompt's 12 tokens"),
        ({"needle_spans": None, "needle": "x"}, "as the prompt is tokens: give needle_spans"),
        ({"continuation_tokens": []}, "continuation must be at least one token"),
        ({"continuation_tokens": [97]}, "below the target model's vocabulary, 97, but one is 97"),
    ],
)
def test_a_prompt_that_is_none(fields, says, checkpoint, tmp_path, device, capsys):
    line = {name: value for name, value in (GOOD | fields).items() if value is not None}
    file = write_prompts(tmp_path, [GOOD, line])
    error = refused(capsys, command(checkpoint("llama"), file, tmp_path / "out", device))
    assert says in error and ("line 2" in error or "prompts-2" in error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: must be JSON"),
        ("[1]", "line 1: must be an object, but is [1]"),
        ("\n", "must hold at least one prompt"),
        (None, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_prompts(text, says, tmp_path, device, capsys):
    file = tmp_path / "prompts.jsonl"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert says in refused(capsys, command(tmp_path, file, tmp_path / "out", device))


@pytest.mark.parametrize(
    ("family", "fields", "says"),
    [
        ("mistral", {"sliding_window": 64}, "sliding_window must be null, or no shorter than max_position_embeddings, 512"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
            "all layers must see the whole context, but is 64",
        ),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "the rotary type must be one of default, linear, llama3, yarn, but is dynamic",
        ),
    ],
)  # fmt: skip
def test_a_model_whose_keys_are_not_those_of_a_whole_cache(
    family, fields, says, checkpoint, tmp_path, device, capsys
):
    file = write_prompts(tmp_path, [GOOD])
    model = checkpoint(family, **fields)
    error = refused(capsys, command(model, file, tmp_path / "out", device))
    assert says in error and str(model) in error


def test_a_window_that_never_is_at_work_is_taken_out(checkpoint, run):
    plain, windowed = (
        run(checkpoint("mistral", sliding_window=window), [GOOD], "--steps", "3", to=str(window))
        for window in (None, 512)
    )
    assert windowed.metadata["target"]["config"]["sliding_window"] == 512
    assert all(torch.equal(windowed[name], tensor) for name, tensor in plain.tensors().items())


def test_a_model_of_another_family(tmp_path, device, capsys):
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=20)
    config.save_pretrained(tmp_path / "gpt2")
    file = write_prompts(tmp_path, [GOOD])
    error = refused(capsys, command(tmp_path / "gpt2", file, tmp_path / "out", device))
    assert "model_type must be one of qwen2, qwen3, llama, mistral" in error and "is gpt2" in error


def test_a_model_that_is_not_there(tmp_path, device, capsys):
    (tmp_path / "empty").mkdir()
    file = write_prompts(tmp_path, [GOOD])
    error = refused(capsys, command(tmp_path / "empty", file, tmp_path / "out", device))
    assert "its config cannot be read" in error


def copied(model: Path, to: Path) -> Path:
    to.mkdir()
    for file in model.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_key_value_heads": 4}, "num_key_value_heads must divide num_attention_heads, 6, but is 4"),
        ({"hidden_size": 50}, "its config cannot be read"),
        ({"num_attention_heads": "six"}, "its config cannot be read"),
        ({"intermediate_size": 32}, "its weights cannot be loaded"),
    ],
)
def test_a_config_that_contradicts_itself_or_the_weights(fields, says, checkpoint, tmp_path, device, capsys):
    model = copied(checkpoint("llama"), tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | fields))
    file = write_prompts(tmp_path, [GOOD])
    error = refused(capsys, command(model, file, tmp_path / "out", device))
    assert says in error and str(model) in error


def test_weights_that_lack_a_tensor_hold_nan_or_end_early(checkpoint, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [GOOD])
    name = "model.layers.1.self_attn.k_proj.weight"
    for at, (change, says) in enumerate(
        [
            (lambda weights: weights.pop(name), f"but lack 1 of them, {name} first"),
            (lambda weights: weights[name].fill_(float("nan")), "layer 1: keys must be finite, but are not"),
            (lambda weights: weights["lm_head.weight"].fill_(float("inf")), "logits must be finite"),
        ]
    ):
        model = copied(checkpoint("llama"), tmp_path / f"model-{at}")
        weights = load_file(model / "model.safetensors")
        change(weights)
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
        assert says in refused(capsys, command(model, file, tmp_path / f"out-{at}", device, "--logits"))
    model = copied(checkpoint("llama"), tmp_path / "truncated")
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    error = refused(capsys, command(model, file, tmp_path / "out", device))
    assert "its weights cannot be loaded" in error


def test_quantised_weights_whose_library_is_not_there(checkpoint, tmp_path, device, capsys):
    model = copied(checkpoint("llama"), tmp_path / "quantised")
    config = json.loads((model / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 16}
    (model / "config.json").write_text(json.dumps(config))
    file = write_prompts(tmp_path, [GOOD])
    error = refused(capsys, command(model, file, tmp_path / "out", device))
    assert "its weights cannot be loaded" in error and str(model) in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target-layers", "1-3"], "--target-layers: numbers must be from 0 to 2, but are [1, 2, 3]"),
        (["--target-heads", "6"], "--target-heads: numbers must be from 0 to 5, but are [6]"),
        (["--device", "nowhere"], "--device nowhere"),
        (["--output", "/dev/null/out"], "--output /dev/null/out: cannot be written"),
    ],
)
def test_an_option_that_the_model_or_the_machine_contradicts(
    arguments, says, checkpoint, tmp_path, device, capsys
):
    file = write_prompts(tmp_path, [GOOD])
    error = refused(capsys, [*command(checkpoint("llama"), file, tmp_path / "out", device), *arguments])
    assert says in error


def test_an_output_that_is_there(checkpoint, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [GOOD])
    (tmp_path / "out").mkdir()
    error = refused(capsys, command(checkpoint("llama"), file, tmp_path / "out", device))
    assert "must not be there yet" in error


def test_a_ranking_that_cannot_be_written(checkpoint, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [GOOD | {"continuation_tokens": GOOD["tokens"][2:4]}])
    arguments = command(checkpoint("llama"), file, tmp_path / "out", device, "--rank")
    error = refused(capsys, [*arguments, "--rankings", "/dev/null/heads"])
    assert "--rankings /dev/null/heads: cannot be written" in error
    assert (tmp_path / "out").exists()


def test_what_an_interrupted_run_left_is_discarded_if_asked(checkpoint, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [GOOD])
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "target-00000-007.safetensors").write_bytes(b"another's")
    arguments = command(checkpoint("llama"), file, tmp_path / "out", device, "--steps", "1")
    assert "holds part of another capture" in refused(capsys, arguments)
    assert main([*arguments, "--restart"]) == 0
    assert not (tmp_path / "out" / "target-00000-007.safetensors").exists()


def test_rankings_without_a_needle_to_search(checkpoint, tmp_path, device, capsys):
    held_out = write_prompts(tmp_path, [GOOD | {"role": "held_out"}])
    arguments = command(checkpoint("llama"), held_out, tmp_path / "out", device)
    assert "at least one searched prompt must have a needle" in refused(capsys, [*arguments, "--rank"])
    bare = write_prompts(tmp_path, [GOOD, {"tokens": [1, 2]}])
    arguments = command(checkpoint("llama"), bare, tmp_path / "out", device)
    error = refused(capsys, [*arguments, "--force-needle"])
    assert "every prompt must have a needle, but prompts-2 has none" in error


def test_a_text_for_a_model_without_a_tokenizer(checkpoint, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [{"text": "the key is blue"}])
    error = refused(capsys, command(checkpoint("llama", 31), file, tmp_path / "out", device))
    assert "its tokenizer cannot be loaded" in error and "give prompts as tokens" in error


def test_a_token_that_the_draft_has_not_got(checkpoint, tmp_path, device, capsys):
    draft = checkpoint("llama", 3, vocab_size=50)
    file = write_prompts(tmp_path, [{"tokens": [1, 2, 3], "continuation_tokens": [60]}])
    arguments = command(checkpoint("llama"), file, tmp_path / "out", device, "--draft", str(draft))
    assert "below the draft model's vocabulary, 50, but one is 60" in refused(capsys, arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target-layers", "3-1"], "must be numbers and ranges such as 0,4-7, but is 3-1"),
        (["--steps", "0"], "must be a whole number from 1, but is 0"),
        (["--held-out", "2"], "must be from 0 to 1, but is 2"),
        (["--draft-heads", "1"], "there is no --draft"),
        (["--chat", "--max-prompt-tokens", "9"], "not with --chat"),
    ],
)
def test_an_argument_that_is_none_is_a_usage_error(arguments, says, tmp_path, device, capsys):
    with pytest.raises(SystemExit) as exited:
        main([*command(tmp_path, tmp_path / "prompts.jsonl", tmp_path / "out", device), *arguments])
    assert exited.value.code == 2
    assert says in capsys.readouterr().err
