"""Attention by FlashInfer, over pages of 16 tokens or of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gather import Gather
from job import DEVICE, FULL, SPARSE, Job, Peer, bf16, torch, turns
from workloads import TARGET, Attention, of_attention

# By how much an output in bf16 may differ from one in float32; outputs are means of numbers of order 1.
TOLERANCE = 0.01


def packed_query(shape: Attention) -> Any:
    return bf16(shape.batch * shape.rows, shape.query_heads, TARGET.head_dim)


def workspace_memory() -> Any:
    return torch.zeros(512 << 20, dtype=torch.uint8, device=DEVICE)


@dataclass(frozen=True)
class Pages:
    """As many full pages of each sequence of a batch, by which FlashInfer reads keys and values."""

    shape: Attention
    tables: Any  # physical pages `[batch, pages of a sequence]`, int32
    size: int  # tokens of a page

    @property
    def length(self) -> int:
        return self.tables.shape[1] * self.size

    def starts(self, step: int) -> Any:
        """Where each sequence starts, and the end."""
        return torch.arange(0, (self.shape.batch + 1) * step, step, dtype=torch.int32, device=DEVICE)

    def each(self, value: int) -> Any:
        return torch.full((self.shape.batch,), value, dtype=torch.int32, device=DEVICE)


# Attention of a query over keys and values `[pages, page size, KV heads, head_dim]`.
Attend = Callable[[Any, Any, Any], object]


def by_wrapper(pages: Pages, workspace: Any, backend: str) -> Attend:
    import flashinfer

    shape = pages.shape
    wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "NHD", backend=backend)
    wrapper.plan(
        pages.starts(shape.rows),
        pages.starts(pages.tables.shape[1]),
        pages.tables.flatten(),
        pages.each(pages.size),
        shape.query_heads,
        shape.kv_heads,
        TARGET.head_dim,
        pages.size,
        causal=True,
        q_data_type=torch.bfloat16,
        kv_data_type=torch.bfloat16,
    )
    return lambda query, key, value: wrapper.run(query, (key, value))


def persistent(pages: Pages, workspace: Any) -> Attend:
    """One launch of as many blocks as the GPU holds, which share the batch out."""
    import flashinfer

    shape = pages.shape
    attention = flashinfer.BatchAttention("NHD")
    attention.float_workspace_buffer = workspace
    attention.plan(
        pages.starts(shape.rows),
        pages.starts(pages.tables.shape[1]),
        pages.tables.flatten(),
        pages.each(pages.length),
        shape.query_heads,
        shape.kv_heads,
        TARGET.head_dim,
        TARGET.head_dim,
        pages.size,
        causal=True,
    )
    return lambda query, key, value: attention.run(query, (key, value))[0]


def cudnn(pages: Pages, workspace: Any) -> Attend:
    """Rows start at offsets in items, and a page's dimensions are those of HND, whatever its strides."""
    from flashinfer.cudnn import cudnn_batch_prefill_with_kv_cache

    shape = pages.shape
    starts = pages.starts(shape.rows * shape.query_heads * TARGET.head_dim).view(-1, 1, 1, 1)
    rows, lengths = (pages.each(value).view(-1, 1, 1, 1) for value in (shape.rows, pages.length))

    def attend(query: Any, key: Any, value: Any) -> object:
        output, _ = cudnn_batch_prefill_with_kv_cache(
            query,
            key.transpose(1, 2),
            value.transpose(1, 2),
            TARGET.head_dim**-0.5,
            workspace,
            max_token_per_sequence=shape.rows,
            max_sequence_kv=pages.length,
            actual_seq_lens_q=rows,
            actual_seq_lens_kv=lengths,
            block_tables=pages.tables,
            causal=True,
            return_lse=False,
            batch_offsets_q=starts,
            batch_offsets_o=starts,
            is_cuda_graph_compatible=True,
        )
        return output

    return attend


def xqa(pages: Pages, workspace: Any) -> Attend:
    """The kernel for decoding, with the mask of a chain of drafts."""
    from flashinfer.decode import xqa_batch_decode_with_kv_cache

    shape = pages.shape
    lengths = pages.each(pages.length).view(torch.uint32)
    # Bit j of row i: whether row i sees row j; a row has 32 bits, in halves.
    seen = torch.tensor([[(2 << row) - 1, 0] for row in range(shape.rows)], device=DEVICE)
    mask = seen.to(torch.uint16).expand(shape.batch, -1, -1).contiguous()

    def attend(query: Any, key: Any, value: Any) -> object:
        scale = TARGET.head_dim**-0.5
        caches = (query, (key, value), workspace, pages.tables, lengths, pages.length)
        output = xqa_batch_decode_with_kv_cache(*caches, bmm1_scale=scale, q_len_per_req=shape.rows, mask=mask)
        return output.view_as(query)  # rows of a sequence have a dimension of their own there

    return attend


def require_attention(pages: Pages, query: Any, key: Any, value: Any, output: Any) -> None:
    """Refuses an output whose last sequence is not attention, computed here in float32: its time would say nothing."""
    shape = pages.shape
    group = shape.query_heads // shape.kv_heads

    def heads(cache: Any) -> Any:
        own = cache[pages.tables[-1].long()].flatten(0, 1)
        return own.float().transpose(0, 1).repeat_interleave(group, 0)

    rows = query[-shape.rows :].float().transpose(0, 1)
    logits = rows @ heads(key).transpose(1, 2) * TARGET.head_dim**-0.5
    later = torch.ones(logits.shape[1:], dtype=torch.bool, device=DEVICE).triu(pages.length - shape.rows + 1)
    expected = logits.masked_fill(later, -torch.inf).softmax(-1) @ heads(value)
    difference = (output[-shape.rows :].float().transpose(0, 1) - expected).abs().max().item()
    if not difference < TOLERANCE:
        raise ValueError(f"its output differs by {difference:.3g} from attention in float32")


BACKENDS: dict[str, Callable[[Pages, Any], Attend]] = {
    "fa2": partial(by_wrapper, backend="fa2"),
    "fa3": partial(by_wrapper, backend="fa3"),
    "persistent": persistent,
    "cuDNN": cudnn,
    "XQA": xqa,
}
PAGE_OF_ONE = ("fa2", "fa3", "persistent", "cuDNN")  # XQA's pages have 16 tokens at the least


def sparse(shape: Attention, backend: str) -> Job:
    """Tokens as pages of one."""
    gather, query, workspace = Gather(shape), packed_query(shape), workspace_memory()
    tables = [tokens.int().view(shape.batch, -1) for tokens in gather.sets]
    attend = [BACKENDS[backend](Pages(shape, table, 1), workspace) for table in tables]
    caches = [(key.unsqueeze(1), value.unsqueeze(1)) for key, value in gather.caches]
    key, value = caches[0]
    require_attention(Pages(shape, tables[0], 1), query, key, value, attend[0](query, key, value))

    def launch(turn: int) -> object:
        cache, chosen = gather.turn(turn)
        return attend[chosen](query, *caches[cache])

    return Job(gather.turns, launch)


def full(shape: Attention, backend: str) -> Job:
    """Pages of 16 tokens in random order."""
    count, query = shape.batch * shape.context // 16, packed_query(shape)
    tables = torch.randperm(count, device=DEVICE).int().view(shape.batch, -1)
    pages = Pages(shape, tables, 16)
    attend = BACKENDS[backend](pages, workspace_memory())
    cache = (count, 2, 16, shape.kv_heads, TARGET.head_dim)
    caches = [bf16(*cache).unbind(1) for _ in range(turns(shape.cache_bytes))]
    key, value = caches[0]
    require_attention(pages, query, key, value, attend(query, key, value))
    return Job(len(caches), lambda turn: attend(query, *caches[turn]))


def peer(operation: str, prepare: Callable[..., Job], backend: str) -> Peer:
    workloads = of_attention(full=operation == FULL)
    return Peer(operation, f"FlashInfer {backend}", partial(prepare, backend=backend), workloads)


PEERS = [
    *(peer(SPARSE, sparse, backend) for backend in PAGE_OF_ONE),
    *(peer(FULL, full, backend) for backend in BACKENDS),
]
