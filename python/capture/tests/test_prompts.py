"""Prompts as texts: tokens, needles and continuations, by a tokenizer that is made here."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from support import Capture, command, write_prompts
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dustin_capture import layout
from dustin_capture.__main__ import main

WORDS = ["<s>", "<unk>", "the", "key", "is", "blue", "and", "long", "river", "door", "says", ":", "user"]
TEMPLATE = "{% for turn in messages %}user : {{ turn['content'] }} : says{% endfor %}"


def save_tokenizer(folder: Path, words: list[str]) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", words.index("<s>"))]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


@pytest.fixture
def speaking(checkpoint: Callable[..., Path]) -> Path:
    """A model with a tokenizer of whole words."""
    folder = checkpoint("llama", 21)
    save_tokenizer(folder, WORDS)
    return folder


def ids(text: str) -> list[int]:
    return [WORDS.index(word) for word in text.split()]


def test_texts_become_tokens_and_needles_their_places(speaking, run):
    line = {"text": "the river is long and the key is blue the door", "needle": "key is blue"}
    capture = run(speaking, [{**line, "continuation": "says blue"}], "--observe", "2")
    assert capture[layout.tokens(0)].tolist() == ids("<s> " + line["text"] + " says blue")
    assert capture.metadata["prompts"][0]["needle_spans"] == [[7, 10]]
    assert capture.metadata["prompts"][0]["needle_recall"] == pytest.approx(1 / 3)


def test_a_needle_that_ends_within_a_token_takes_the_whole_token(speaking, run):
    capture = run(speaking, [{"text": "the river is long", "needle": "ver is lo"}], "--steps", "1")
    assert capture.metadata["prompts"][0]["needle_spans"] == [[2, 5]]


def test_chat_puts_a_text_into_the_models_template(speaking, run):
    line = {"text": "the key is blue", "needle": "blue"}
    capture = run(speaking, [line], "--chat", "--steps", "1")
    assert capture[layout.tokens(0)].tolist()[:-1] == ids("user : the key is blue : says")
    assert capture.metadata["prompts"][0]["needle_spans"] == [[5, 6]]


def test_a_file_that_is_not_jsonl_is_one_text_and_long_ones_lose_their_end(speaking, tmp_path, device):
    (tmp_path / "book.txt").write_text("the river is long\nand the door is blue")
    arguments = command(speaking, tmp_path / "book.txt", tmp_path / "out.safetensors", device)
    assert main([*arguments, "--max-prompt-tokens", "5", "--steps", "1"]) == 0
    capture = Capture(tmp_path / "out.safetensors")
    assert capture[layout.tokens(0)].tolist()[:-1] == ids("<s> the river is long")
    assert capture.metadata["prompts"][0]["name"] == "book"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            {"text": "the key is blue the key", "needle": "key"},
            "needle must be once in the text, not 2 times",
        ),
        ({"text": "the key is blue", "needle": "door"}, "needle must be once in the text, not 0 times"),
        (
            {"text": "the key is blue", "needle": "blue"},
            "within the part of the text that --max-prompt-tokens",
        ),
    ],
)
def test_a_needle_that_is_not_there_once_is_refused(line, says, speaking, tmp_path, device, capsys):
    file = write_prompts(tmp_path, [line])
    longest = ("--max-prompt-tokens", "4") if "leaves" in says or "part" in says else ()
    assert main([*command(speaking, file, tmp_path / "out", device), *longest]) == 1
    assert says in capsys.readouterr().err


def test_a_draft_with_another_tokenizer_is_refused(speaking, checkpoint, tmp_path, device, capsys):
    draft = checkpoint("llama", 22)
    save_tokenizer(draft, WORDS[::-1])
    file = write_prompts(tmp_path, [{"text": "the key is blue"}])
    assert main([*command(speaking, file, tmp_path / "out", device), "--draft", str(draft)]) == 1
    assert "its tokenizer must give a text the target's tokens" in capsys.readouterr().err
