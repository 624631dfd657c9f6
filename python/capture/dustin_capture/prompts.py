"""Prompts: token ids, what continues them, where needles lie, and what they are for."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .errors import CaptureError, first_line
from .layout import HELD_OUT, SEARCHED

FIELDS = {"name", "role", "text", "tokens", "continuation", "continuation_tokens", "needle", "needle_spans"}


@dataclass(frozen=True)
class Prompt:
    name: str
    role: str
    tokens: tuple[int, ...]
    continuation: tuple[int, ...] | None
    """The tokens that follow; without them the target generates."""
    spans: tuple[tuple[int, int], ...]
    """Where needles lie: positions, the end not included."""

    @property
    def needle(self) -> tuple[int, ...]:
        """The needles' tokens."""
        return tuple(token for start, end in self.spans for token in self.tokens[start:end])


class Tokenizer:
    """The models' tokenizer, loaded when a text needs it."""

    def __init__(self, models: list[str], chat: bool) -> None:
        self._models, self.chat = models, chat
        self._loaded: list[PreTrainedTokenizerBase] = []

    def prompt(self, text: str) -> tuple[list[int], list[tuple[int, int]], str]:
        """Tokens, the characters that each stands for, and the text that these count in."""
        if self.chat:
            turns = [{"role": "user", "content": text}]
            text = self._load()[0].apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return *self._encode(text, special=not self.chat), text

    def continuation(self, text: str) -> list[int]:
        return self._encode(text, special=False)[0]

    def _encode(self, text: str, special: bool) -> tuple[list[int], list[tuple[int, int]]]:
        first, *others = self._load()
        encoded = first(text, add_special_tokens=special, return_offsets_mapping=True)
        for name, other in zip(self._models[1:], others, strict=True):
            if other(text, add_special_tokens=special)["input_ids"] != encoded["input_ids"]:
                raise CaptureError(
                    f"draft model {name}: its tokenizer must give a text the target's tokens, but gives others; "
                    f"use a draft of the same family"
                )
        return encoded["input_ids"], encoded["offset_mapping"]

    def _load(self) -> list[PreTrainedTokenizerBase]:
        if not self._loaded:
            self._loaded = [_tokenizer(name) for name in self._models]
        return self._loaded


def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        loaded = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise CaptureError(
            f"model {name}: its tokenizer cannot be loaded ({first_line(error)}); give prompts as tokens"
        ) from error
    if not loaded.is_fast:
        raise CaptureError(
            f"model {name}: its tokenizer must be a fast one, which says where tokens lie in a text; give "
            f"prompts as tokens"
        )
    return loaded


def read(paths: list[Path], tokenizer: Tokenizer, longest: int | None, held_out: float) -> list[Prompt]:
    """All prompts of the files. Where none says what it is for, a share is held out, evenly spread.

    CaptureError for a file or a line that is none.
    """
    found = [prompt for path in paths for prompt in _file(path, tokenizer, longest)]
    if not found:
        raise CaptureError(f"--prompts: {paths[0]} must hold at least one prompt, but holds none")
    roles: list[str] = []
    unnamed = 0
    for prompt in found:
        role = prompt.role
        if not role:
            # 1e-9: a share such as 0.1 times ten is one.
            before, after = (math.floor(number * held_out + 1e-9) for number in (unnamed, unnamed + 1))
            role = HELD_OUT if after > before else SEARCHED
            unnamed += 1
        roles.append(role)
    return [
        Prompt(prompt.name, role, prompt.tokens, prompt.continuation, prompt.spans)
        for prompt, role in zip(found, roles, strict=True)
    ]


def _file(path: Path, tokenizer: Tokenizer, longest: int | None) -> Iterator[Prompt]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"--prompts {path}: cannot be read ({error})") from error
    if path.suffix != ".jsonl":
        yield _Line(str(path), path.stem, {"text": text}, tokenizer, longest).prompt()
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise CaptureError(f"{where}: must be JSON, but is not ({error})") from error
        if not isinstance(fields, dict):
            raise CaptureError(f"{where}: must be an object, but is {line.strip()[:40]}")
        yield _Line(where, f"{path.stem}-{number}", fields, tokenizer, longest).prompt()


class _Line:
    """One prompt's fields, as they are read."""

    def __init__(
        self, where: str, name: str, fields: dict[str, Any], tokenizer: Tokenizer, longest: int | None
    ) -> None:
        self._where, self._name, self._fields = where, name, fields
        self._tokenizer, self._longest = tokenizer, longest

    def prompt(self) -> Prompt:
        if unknown := sorted(self._fields.keys() - FIELDS):
            self._fail(unknown[0], f"no field; there are {', '.join(sorted(FIELDS))}")
        for one, other in (
            ("text", "tokens"),
            ("continuation", "continuation_tokens"),
            ("needle", "needle_spans"),
        ):
            if one in self._fields and other in self._fields:
                self._fail(one, f"absent, as there is {other}")
        role = self._field("role", "searched or held_out", lambda it: it in (SEARCHED, HELD_OUT)) or ""
        name = self._text("name") or self._name
        tokens, spans = self._tokens_and_spans()
        return Prompt(name, role, tuple(tokens), self._continuation(), tuple(spans))

    def _tokens_and_spans(self) -> tuple[list[int], list[tuple[int, int]]]:
        spans = self._field("needle_spans", "a list of [start, end]", _are_spans)
        if (text := self._text("text")) is None:
            tokens = self._ids("tokens")
            if tokens is None:
                self._fail("text", "there, or tokens in its place")
            if "needle" in self._fields:
                self._fail("needle", "absent, as the prompt is tokens: give needle_spans")
            tokens = tokens[: self._longest]
        else:
            tokens, offsets, read = self._tokenizer.prompt(text)
            tokens, offsets = tokens[: self._longest], offsets[: self._longest]
            if (needle := self._text("needle")) is not None:
                spans = [self._find(needle, read, offsets)]
        if not tokens:
            self._fail("text" if text is not None else "tokens", "at least one token")
        spans = [(start, end) for start, end in spans or []]
        if any(not 0 <= start < end <= len(tokens) for start, end in spans):
            self._fail("needle_spans", f"within the prompt's {len(tokens)} tokens, start before end")
        return tokens, spans

    def _find(self, needle: str, text: str, offsets: list[tuple[int, int]]) -> tuple[int, int]:
        times = text.count(needle)
        if not needle or times != 1:
            self._fail("needle", f"once in the text, not {times} times; needle_spans says which", shown=False)
        start = text.index(needle)
        end = start + len(needle)
        # Special tokens stand for no characters.
        inside = [at for at, (first, last) in enumerate(offsets) if start < last and first < min(end, last)]
        if not inside or offsets[inside[-1]][1] < end:
            self._fail("needle", "within the part of the text that --max-prompt-tokens leaves", shown=False)
        return inside[0], inside[-1] + 1

    def _continuation(self) -> tuple[int, ...] | None:
        if (text := self._text("continuation")) is not None:
            tokens = self._tokenizer.continuation(text)
        else:
            tokens = self._ids("continuation_tokens")
        if tokens is not None and not tokens:
            self._fail("continuation", "at least one token")
        return None if tokens is None else tuple(tokens)

    def _text(self, field: str) -> str | None:
        return self._field(field, "a text", lambda it: isinstance(it, str))

    def _ids(self, field: str) -> list[int] | None:
        return self._field(
            field, "a list of token numbers", lambda it: isinstance(it, list) and all(map(_is_number, it))
        )

    def _field(self, field: str, required: str, right: Callable[[Any], bool]) -> Any:
        value = self._fields.get(field)
        if value is not None and not right(value):
            self._fail(field, required)
        return value

    def _fail(self, field: str, required: str, shown: bool = True) -> None:
        stated = f", but is {json.dumps(self._fields[field])[:60]}" if shown and field in self._fields else ""
        raise CaptureError(f"{self._where}: {field} must be {required}{stated}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(span, list) and len(span) == 2 and all(map(_is_number, span)) for span in value
    )
