"""Models that copy, with weights made by hand: the induction circuit of Olsson et al. (arXiv 2209.11895).

A *previous-token head* writes the code of each position's predecessor into a subspace of its own. In the next layer an
*induction head* asks where the predecessor was the current token, and copies the token found there to the output. So the
model repeats what followed a token before: it copies a needle whose first token it is given. All other heads attend
to what random weights make of the hidden state, and write hardly anything.

Codes are compared in those dimensions of a head that the rotary embedding hardly turns; the previous-token head uses
the others, whose angles tell one distance from another.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

THETA = 1e8
"""Of 64 items in a head, the later 16 pairs turn by less than 0.0001 a token."""

HEAD_DIM, HIDDEN, VOCABULARY = 64, 128, 64
QUARTER = HEAD_DIM // 4
CODE = HEAD_DIM // 2
"""Items of a token's code; the hidden state has three codes and a constant: token, predecessor, output."""

TOKEN, PREVIOUS, OUTPUT, CONSTANT = slice(0, CODE), slice(CODE, 2 * CODE), slice(2 * CODE, 3 * CODE), 3 * CODE

STILL = [*range(QUARTER, 2 * QUARTER), *range(3 * QUARTER, 4 * QUARTER)]
"""A head's items that the rotary embedding hardly turns."""


@dataclass(frozen=True)
class Planted:
    """Where the circuit's heads are: layer and query head. The layer of `previous` is before `induction`'s."""

    previous: tuple[int, int]
    induction: tuple[int, int]


def build(
    family: str, layers: int, query_heads: int, kv_heads: int, planted: Planted, seed: int
) -> PreTrainedModel:
    """A model in fp32 with the circuit planted."""
    config_type, model_type = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[family]
    stated: dict[str, Any] = {"rope_theta": THETA, "rope_type": "default"}
    config = config_type(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=query_heads,
        num_key_value_heads=kv_heads,
        head_dim=HEAD_DIM,
        max_position_embeddings=1024,
        rope_parameters=stated,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = model_type(config).float()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                # Random heads attend somewhere; what they and the feed-forward networks write drowns in codes.
                spread = 0.15 if "q_proj.weight" in name or "k_proj.weight" in name else 0.002
                parameter.copy_(torch.randn(parameter.shape, generator=random) * spread)
        codes = torch.randn(VOCABULARY, CODE, generator=random).sign() * CODE**-0.5
        embedded = model.model.embed_tokens.weight
        embedded.zero_()
        embedded[:, TOKEN] = codes
        embedded[:, CONSTANT] = 1
        _plant_previous(model, *planted.previous, group=query_heads // kv_heads)
        _plant_induction(model, *planted.induction, group=query_heads // kv_heads)
        model.lm_head.weight[:, OUTPUT] = 20 * codes
    return model.eval()


def _plant_previous(model: PreTrainedModel, layer: int, head: int, group: int) -> None:
    attention = model.model.layers[layer].self_attn
    query, key, value, output = _rows(attention, head, group)
    frequencies = THETA ** (-torch.arange(QUARTER) / (HEAD_DIM // 2))
    for part in (query, key):
        part.zero_()
    # The products of all pairs are greatest where the key is one position before the query.
    query[:QUARTER, CONSTANT] = 12 * frequencies.cos()
    query[2 * QUARTER : 3 * QUARTER, CONSTANT] = -12 * frequencies.sin()
    key[:QUARTER, CONSTANT] = 1
    _copy(value, output, TOKEN, PREVIOUS)


def _plant_induction(model: PreTrainedModel, layer: int, head: int, group: int) -> None:
    attention = model.model.layers[layer].self_attn
    query, key, value, output = _rows(attention, head, group)
    for part, codes in ((query, TOKEN), (key, PREVIOUS)):
        part.zero_()
        part[STILL, codes] = 3 * torch.eye(CODE)
    _copy(value, output, TOKEN, OUTPUT)


def _rows(attention: torch.nn.Module, head: int, group: int) -> tuple[torch.Tensor, ...]:
    """Weights of one query head: of its queries, keys, values and output."""
    own, shared = (slice(at * HEAD_DIM, (at + 1) * HEAD_DIM) for at in (head, head // group))
    return (
        attention.q_proj.weight[own],
        attention.k_proj.weight[shared],
        attention.v_proj.weight[shared],
        attention.o_proj.weight[:, own],
    )


def _copy(value: torch.Tensor, output: torch.Tensor, source: slice, to: slice) -> None:
    """Has a head move a code from one part of the hidden state to another, at about the length that it has."""
    value.zero_()
    output.zero_()
    value[:CODE, source] = torch.eye(CODE)
    # What norms make of a code is about eight times as long.
    output[to, :CODE] = torch.eye(CODE) / 8


def prompt(length: int, needle: int, at: int, seed: int) -> tuple[list[int], tuple[int, int]]:
    """Tokens with a needle of different tokens that appear nowhere else but at the end, where its first one asks for the
    others; and the needle's span.
    """
    random = torch.Generator().manual_seed(seed)
    needles, others = torch.randperm(VOCABULARY, generator=random).split([needle, VOCABULARY - needle])
    tokens = others[torch.randint(len(others), (length,), generator=random)]
    tokens[at : at + needle] = needles
    tokens[-1] = needles[0]
    return tokens.tolist(), (at, at + needle)
