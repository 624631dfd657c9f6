"""Semantic retrieval heads: planted ones are found, and scores are what their definition says."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import fixture
import induction
import torch
from induction import Planted
from support import Capture, command, difference, tokens, write_prompts

from dustin_capture import layout, rank
from dustin_capture.__main__ import main

NEEDLE = 10


def needles(count: int, length: int = 60) -> list[dict[str, Any]]:
    made = (induction.prompt(length, NEEDLE, at=8 + 5 * number, seed=number) for number in range(count))
    return [{"tokens": tokens, "needle_spans": [span], "role": "searched"} for tokens, span in made]


def planted(folder: Path, family: str, where: Planted, seed: int) -> Path:
    induction.build(family, 4, 8, 2, where, seed).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize(
    ("where", "seed"),
    [(Planted((0, 4), (1, 1)), 1), (Planted((1, 0), (3, 5)), 2), (Planted((0, 2), (2, 3)), 3)],
)
@pytest.mark.parametrize("forced", [False, True], ids=["generated", "forced"])
def test_the_planted_head_is_found_and_no_other_is_near(family, where, seed, forced, tmp_path, run):
    model = planted(tmp_path / "planted", family, where, seed)
    options = ["--force-needle"] if forced else ["--steps", str(NEEDLE - 1)]
    prompts = needles(4)
    if forced:
        # The question's last token would be the needle's first one a second time.
        prompts = [{**prompt, "tokens": prompt["tokens"][:-1]} for prompt in prompts]
    capture = run(model, prompts, "--rank", *options)
    mean = capture[layout.ranking("target")].mean(dim=0)
    best = divmod(int(mean.argmax()), 8)
    assert best == where.induction
    assert 0.95 * (NEEDLE - 1) <= mean[best] <= NEEDLE
    mean[best] = 0
    assert mean.max() < 0.5 * NEEDLE
    # The head that looks one token back sees the answer, not the needle.
    assert mean[where.previous] < 0.1 * NEEDLE
    index = json.loads((capture.path / "rankings/target/head_idx.json").read_text())
    assert index[str(where.induction[0])][0] == where.induction[1]


def test_a_score_is_the_attention_to_the_whole_needle_of_every_answer_token_that_lies_in_it(checkpoint, run):
    prompt = tokens(30, 3)
    spans = [[4, 9], [15, 17]]
    inside = [prompt[at] for start, end in spans for at in range(start, end)]
    # 95 and 96 are not in the needle; its second token comes twice.
    answer = [95, inside[1], 96, inside[6], inside[1], 95]
    assert not {95, 96} & set(inside)
    line = {"tokens": prompt, "needle_spans": spans, "continuation_tokens": answer}
    capture = run(checkpoint("qwen3"), [line], "--rank", "--chunk", "32", "--observe", "1")
    scores = capture[layout.ranking("target")]
    assert scores.shape == (1, 3, 6)
    for layer in range(3):
        queries, keys = (
            capture[layout.captured("target", 0, layer, what)].double() for what in ("queries", "keys")
        )
        for head in range(6):
            score = 0.0
            for step, token in enumerate(answer):
                seen = keys[head // 3, : 30 + step]
                attention = (seen @ queries[head, step] * capture.metadata["target"]["scale"]).softmax(0)
                score += (token in inside) * sum(float(attention[start:end].sum()) for start, end in spans)
            assert float(scores[0, layer, head]) == pytest.approx(score, abs=1e-4)
    assert scores.max() > 0.1


def test_a_model_that_copies_nothing_scores_zero_and_the_command_says_so(checkpoint, run, capsys):
    prompt = tokens(30, 3)
    line = {"tokens": prompt, "needle_spans": [[4, 9]], "continuation_tokens": [95, 96]}
    capture = run(checkpoint("llama"), [line], "--rank", "--draft", str(checkpoint("llama", 5)))
    assert (
        "draft: no answer has a token of its needle, so that all scores are zero" in capsys.readouterr().err
    )
    assert capture.metadata["ranking"]["all_zero"] == ["target", "draft"]
    assert capture.metadata["prompts"][0]["needle_recall"] == 0
    assert not capture[layout.ranking("target")].any()
    folder = capture.path / "rankings" / "target"
    assert json.loads((folder / "head_score.json").read_text())["2-5"] == [0.0]
    assert not (folder / "head_idx.json").exists()


def test_held_out_prompts_and_answers_without_enough_of_the_needle_score_nothing(tmp_path, run):
    model = planted(tmp_path / "planted", "llama", Planted((0, 4), (1, 1)), 1)
    prompts = needles(4)
    prompts[0]["role"] = "held_out"
    # The first answer has three of the ten tokens, the others all but the first.
    prompts[2]["continuation_tokens"] = prompts[2]["tokens"][20:23] * 3
    options = ("--rank", "--steps", str(NEEDLE - 1), "--min-recall", "0.5")
    capture = run(model, prompts, *options)
    assert capture.metadata["ranking"]["prompts"] == [1, 3]
    assert capture[layout.ranking("target")].shape == (2, 4, 8)
    recalls = [prompt["needle_recall"] for prompt in capture.metadata["prompts"]]
    assert recalls == [0.9, 0.9, 0.3, 0.9]


def test_no_answer_with_enough_of_its_needle_ranks_nothing_and_the_capture_stands(checkpoint, run, capsys):
    line = {"tokens": tokens(30, 3), "needle_spans": [[4, 9]], "continuation_tokens": [95, 96]}
    capture = run(checkpoint("llama"), [line], "--rank", "--min-recall", "0.5")
    assert "no head is ranked" in capsys.readouterr().err
    assert capture.metadata["ranking"] == {"method": "compresskv-srh", "prompts": [], "all_zero": []}
    assert layout.ranking("target") not in capture.files


def test_files_are_as_compresskv_publishes_them(tmp_path):
    scores = torch.tensor([[[1.0, 4.0, 1.0], [0.0, 0.0, 3.0]], [[1.0, 0.0, 1.5], [0.5, 0.0, 0.0]]])
    rank.write(tmp_path, scores)
    of_head = json.loads((tmp_path / "head_score.json").read_text())
    assert of_head["0-1"] == [4.0, 0.0] and of_head["1-0"] == [0.0, 0.5] and len(of_head) == 6
    index = json.loads((tmp_path / "head_idx.json").read_text())
    assert index == {"0": [1, 2, 0], "1": [2, 0, 1]}
    rank.write(tmp_path / "equal", torch.ones(1, 1, 4))
    assert json.loads((tmp_path / "equal/head_idx.json").read_text()) == {"0": [0, 1, 2, 3]}


def test_recall_counts_a_token_as_often_as_both_have_it():
    assert rank.recall([1, 1, 2, 3], [1, 2, 2, 9]) == 0.5
    assert rank.recall([1], []) == 0


def test_rankings_go_to_the_folder_that_is_named_or_nowhere_for_a_single_file(tmp_path, device):
    model = planted(tmp_path / "planted", "llama", Planted((0, 4), (1, 1)), 1)
    file = write_prompts(tmp_path, needles(1))
    for name, more in (("a", ()), ("b", ("--rankings", str(tmp_path / "heads")))):
        output = tmp_path / f"{name}.safetensors"
        assert main(command(model, file, output, device, "--rank", "--steps", "9", *more)) == 0
    assert not list(tmp_path.glob("*rankings*"))
    assert (tmp_path / "heads/target/head_idx.json").exists()


def test_the_checked_in_fixture_is_what_its_command_makes_up_to_rounding(tmp_path, device):
    path = Path(__file__).parents[3] / "tests" / "data" / "calibration.safetensors"
    assert path.stat().st_size <= 1_000_000
    assert fixture.make(tmp_path / "made.safetensors", device) == 0
    made, stored = Capture(tmp_path / "made.safetensors"), Capture(path)
    for capture in (made, stored):
        # These depend on versions, and the request's digest on the configs.
        del capture.metadata["producer"], capture.metadata["capture"]
        del capture.metadata["target"]["config"], capture.metadata["draft"]["config"]
    assert made.metadata == stored.metadata
    one, other = made.tensors(), stored.tensors()
    assert one.keys() == other.keys()
    for name, tensor in other.items():
        assert one[name].dtype == tensor.dtype
        assert difference(one[name], tensor) <= (0 if name.endswith("tokens") else 0.03), name
    for role, fields in (("target", fixture.TARGET), ("draft", fixture.DRAFT)):
        mean = other[layout.ranking(role)].mean(dim=0)
        assert divmod(int(mean.argmax()), mean.shape[1]) == fields["planted"].induction
