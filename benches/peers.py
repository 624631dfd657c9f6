#!/usr/bin/env python3
"""Times the peers of this project's kernels on one NVIDIA GPU, and writes one JSON line per figure.

    python3 peers.py --output peers.jsonl    all peers
    python3 peers.py --only w1-select        figures whose workload, operation or peer contains the text
    python3 peers.py --list                  the figures that there are; needs no PyTorch

Workloads have the names and shapes of `autotune plan --list-workloads`, and the bench `table` compares with what is
written here. Needs PyTorch; FlashInfer is optional, and torch.compile wants a C compiler.

Method, as in this project's own benchmarks: a figure is the median over replays of one CUDA graph of at least 32
launches (fewer there where a launch moves hundreds of megabytes, which takes longer than what launches share). Inputs
of attention and scoring take turns so that none returns before twice the L2 cache has been read in between; maps that
are selected from stay in it. Times are microseconds per launch.

Each peer runs in a process of its own with a time limit. One that cannot run is a line, too: it says why.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any, TextIO, Union

try:
    import torch
except (ImportError, OSError):  # --list does without
    torch = None  # type: ignore[assignment]

DEVICE = "cuda"
LAUNCHES = 32
WARM_UP = 2
SAMPLES = 30


# ---- Workloads -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    name: str
    query_heads: int
    kv_heads: int
    head_dim: int


TARGET = Model("Qwen2.5-72B", 64, 8, 128)
DRAFT = Model("Qwen2.5-0.5B", 14, 2, 64)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class Attention:
    """One layer of `TARGET`, on one of `tp` ranks."""

    batch: int = 16
    context: int = 32_768
    rows: int = 5
    k: int = 512
    full: bool = False  # everything is read, whatever k
    tp: int = 1

    def __str__(self) -> str:
        tp = "" if self.tp == 1 else f"TP {self.tp}, "
        read = "everything" if self.full else f"k {self.k}"
        shape = f"batch {self.batch} x {self.context}, {self.rows} rows, {read}"
        return f"{TARGET.name}, {tp}{shape}, page 16 NHD, bf16"

    @property
    def query_heads(self) -> int:
        return TARGET.query_heads // self.tp

    @property
    def kv_heads(self) -> int:
        return TARGET.kv_heads // self.tp


@dataclass(frozen=True)
class Score:
    """The mean probability that `heads` heads of each of `layers` layers give to every token."""

    model: Model = TARGET
    layers: int = 1
    heads: int = 4
    kv_heads_read: int = 4
    tokens: int = 1
    batch: int = 16
    context: int = 32_768

    def __str__(self) -> str:
        heads = f"{counted(self.layers, 'layer')} of {counted(self.heads, 'head')}"
        columns = f"on {counted(self.kv_heads_read, 'KV head')}, {counted(self.tokens, 'query token')}"
        sequences = f"batch {self.batch} x {self.context}"
        return f"score {self.model.name}, {sequences}, {heads} {columns}, page 16 NHD, bf16"


@dataclass(frozen=True)
class Select:
    """The `k` best positions of every sequence."""

    batch: int = 16
    context: int = 32_768
    k: int = 512
    quota: int = 128

    def __str__(self) -> str:
        return f"select batch {self.batch} x {self.context}, k {self.k}, {self.quota} from the draft's map"


Shape = Union[Attention, Score, Select]

# No peer takes the mask of a tree.
WORKLOADS: dict[str, Shape] = {
    "w1": Attention(),
    "w1-rows8": Attention(rows=8),
    "w1-tp4": Attention(tp=4),
    "w1-tp8": Attention(tp=8),
    "w1-k1024": Attention(k=1024),
    "w1-k2048": Attention(k=2048),
    "w1-b1": Attention(batch=1),
    "w1-b4": Attention(batch=4),
    "w1-b8-16k": Attention(batch=8, context=16_384),
    "w1-b64-8k": Attention(batch=64, context=8_192),
    "w1-full": Attention(full=True),
    "w1-full-b1": Attention(batch=1, full=True),
    "w1-full-b8-16k": Attention(batch=8, context=16_384, full=True),
    "w1-score": Score(),
    "w1-score-1kv": Score(kv_heads_read=1),
    "w1-score-draft": Score(DRAFT, layers=3, kv_heads_read=2, tokens=4),
    "w1-select": Select(),
    "w1-select-b64": Select(batch=64),
    "w1-select-128k": Select(context=131_072),
}


# ---- Peers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """Inputs that take turns, and a launch over the input whose turn it is."""

    turns: int
    launch: Callable[[int], object]


Prepare = Callable[[Any], Job]


@dataclass(frozen=True)
class Peer:
    operation: str
    name: str
    prepare: Prepare
    workloads: tuple[str, ...]


PEERS: list[Peer] = []


def peer(operation: str, name: str, workloads: tuple[str, ...]) -> Callable[[Prepare], Prepare]:
    """Registers the function that prepares a peer's job for each of these workloads."""

    def register(prepare: Prepare) -> Prepare:
        PEERS.append(Peer(operation, name, prepare, workloads))
        return prepare

    return register


def of_kind(kind: type) -> tuple[str, ...]:
    return tuple(name for name, shape in WORKLOADS.items() if isinstance(shape, kind))


def of_attention(full: bool) -> tuple[str, ...]:
    shapes = WORKLOADS.items()
    return tuple(name for name, shape in shapes if isinstance(shape, Attention) and shape.full == full)


SPARSE, FULL = "sparse attention", "full attention"
SCORING, SELECTION = "scoring", "selection"


def bf16(*shape: int) -> Any:
    return torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16)


def turns(read_bytes: int) -> int:
    """Inputs for each to return only after twice the L2 cache has been read."""
    between = 2 * torch.cuda.get_device_properties(0).L2_cache_size
    return 1 if read_bytes >= between else -(-between // read_bytes) + 1


class Gather:
    """Disjoint sets of tokens in as few caches as hold them, in turns. A set is followed by the step's own rows."""

    def __init__(self, shape: Attention) -> None:
        self.tokens = shape.k + shape.rows
        length = shape.context + shape.rows
        vectors = 2 * self.tokens * shape.kv_heads + 2 * shape.rows * shape.query_heads
        self.turns = turns(shape.batch * vectors * TARGET.head_dim * 2)
        count = min(self.turns, shape.context // shape.k)
        rows = torch.arange(shape.context, length, device=DEVICE)
        sets: list[list[Any]] = [[] for _ in range(count)]
        for sequence in range(shape.batch):
            order = torch.randperm(shape.context, device=DEVICE)
            for chosen, own in zip(sets, order.split(shape.k)):
                chosen.append(torch.cat([own.sort().values, rows]) + sequence * length)
        self.sets = [torch.cat(chosen) for chosen in sets]
        cache = (shape.batch * length, shape.kv_heads, TARGET.head_dim)
        self.caches = [(bf16(*cache), bf16(*cache)) for _ in range(-(-self.turns // count))]
        self.turns = len(self.caches) * count

    def turn(self, turn: int) -> tuple[int, int]:
        """Cache and set whose turn it is."""
        return divmod(turn, len(self.sets))


def grouped_query(shape: Attention) -> Any:
    """Queries whose heads of one KV head stand as further rows of it."""
    rows = shape.rows * shape.query_heads // shape.kv_heads
    return bf16(shape.batch, shape.kv_heads, rows, TARGET.head_dim)


def sdpa(backend: str, query: Any, key: Any, value: Any) -> object:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(getattr(SDPBackend, backend)):
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)


def flashinfer_query(shape: Attention) -> Any:
    return bf16(shape.batch * shape.rows, shape.query_heads, TARGET.head_dim)


def flashinfer_workspace() -> Any:
    return torch.empty(512 << 20, dtype=torch.uint8, device=DEVICE)


# FlashInfer's back ends that were seen to run on such caches.
FLASHINFER_BACKENDS = ("fa2", "fa3")


def flashinfer_wrapper(shape: Attention, pages: Any, page_size: int, workspace: Any, backend: str) -> Any:
    """Attention over the pages of all sequences, as many full ones of each."""
    import flashinfer

    def starts(step: int) -> Any:
        return torch.arange(0, (shape.batch + 1) * step, step, dtype=torch.int32, device=DEVICE)

    wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, "NHD", backend=backend)
    wrapper.plan(
        starts(shape.rows),
        starts(pages.numel() // shape.batch),
        pages.int(),
        torch.full((shape.batch,), page_size, dtype=torch.int32, device=DEVICE),
        shape.query_heads,
        shape.kv_heads,
        TARGET.head_dim,
        page_size,
        causal=True,
        q_data_type=torch.bfloat16,
        kv_data_type=torch.bfloat16,
    )
    return wrapper


def flashinfer_sparse(shape: Attention, backend: str) -> Job:
    """Tokens as pages of one."""
    gather, query, workspace = Gather(shape), flashinfer_query(shape), flashinfer_workspace()
    wrappers = [flashinfer_wrapper(shape, tokens, 1, workspace, backend) for tokens in gather.sets]
    caches = [(key.unsqueeze(1), value.unsqueeze(1)) for key, value in gather.caches]

    def launch(turn: int) -> object:
        cache, chosen = gather.turn(turn)
        return wrappers[chosen].run(query, caches[cache])

    return Job(gather.turns, launch)


@peer(SPARSE, "torch gather + SDPA", of_attention(full=False))
def torch_sparse(shape: Attention) -> Job:
    """Tokens copied together, then FlashAttention-2 without a mask."""
    gather, query = Gather(shape), grouped_query(shape)

    def copied(cache: Any, tokens: Any) -> Any:
        return cache[tokens].view(shape.batch, -1, shape.kv_heads, TARGET.head_dim).transpose(1, 2)

    def launch(turn: int) -> object:
        cache, chosen = gather.turn(turn)
        (key, value), tokens = gather.caches[cache], gather.sets[chosen]
        return sdpa("FLASH_ATTENTION", query, copied(key, tokens), copied(value, tokens))

    return Job(gather.turns, launch)


def cache_bytes(shape: Attention) -> int:
    return 4 * shape.batch * shape.context * shape.kv_heads * TARGET.head_dim


def contiguous(shape: Attention, backend: str) -> Job:
    """Contiguous keys and values, no mask."""
    query, cache = grouped_query(shape), (shape.batch, shape.kv_heads, shape.context, TARGET.head_dim)
    caches = [(bf16(*cache), bf16(*cache)) for _ in range(turns(cache_bytes(shape)))]
    return Job(len(caches), lambda turn: sdpa(backend, query, *caches[turn]))


@peer(FULL, "torch SDPA, flash", of_attention(full=True))
def sdpa_flash(shape: Attention) -> Job:
    return contiguous(shape, "FLASH_ATTENTION")


@peer(FULL, "torch SDPA, cuDNN", of_attention(full=True))
def sdpa_cudnn(shape: Attention) -> Job:
    return contiguous(shape, "CUDNN_ATTENTION")


def flashinfer_full(shape: Attention, backend: str) -> Job:
    """Pages of 16 tokens in random order."""
    pages, query = shape.batch * shape.context // 16, flashinfer_query(shape)
    order = torch.randperm(pages, device=DEVICE)
    wrapper = flashinfer_wrapper(shape, order, 16, flashinfer_workspace(), backend)
    cache = (pages, 2, 16, shape.kv_heads, TARGET.head_dim)
    caches = [bf16(*cache) for _ in range(turns(cache_bytes(shape)))]
    return Job(len(caches), lambda turn: wrapper.run(query, caches[turn]))


for name in FLASHINFER_BACKENDS:
    peer(SPARSE, f"FlashInfer {name}", of_attention(full=False))(partial(flashinfer_sparse, backend=name))
    peer(FULL, f"FlashInfer {name}", of_attention(full=True))(partial(flashinfer_full, backend=name))


def compiled_score(shape: Score, logits: Callable[[Any, Any], Any]) -> Job:
    """The map of all layers by one compiled function, from contiguous keys.

    `logits` makes of queries `[batch, KV heads, columns, head_dim]` and keys `[batch, KV heads, context, head_dim]`, of
    the heads that are read, `[batch, KV heads, columns, context]`.
    """
    model, columns = shape.model, shape.heads * shape.tokens
    step = model.kv_heads // shape.kv_heads_read
    scale = model.head_dim**-0.5

    def score(layers: list[tuple[Any, Any]]) -> Any:
        total = torch.zeros((shape.batch, shape.context), device=layers[0][0].device)
        for query, key in layers:
            read = key[:, :, ::step].transpose(1, 2)
            total = total + (logits(query, read).float() * scale).softmax(-1).sum((1, 2))
        return total / (columns * len(layers))

    def layer() -> tuple[Any, Any]:
        query = bf16(shape.batch, shape.kv_heads_read, columns // shape.kv_heads_read, model.head_dim)
        return query, bf16(shape.batch, shape.context, model.kv_heads, model.head_dim)

    read_bytes = shape.layers * shape.batch * shape.context * shape.kv_heads_read * model.head_dim * 2
    inputs = [[layer() for _ in range(shape.layers)] for _ in range(turns(read_bytes))]
    compiled = torch.compile(score, dynamic=False)
    return Job(len(inputs), lambda turn: compiled(inputs[turn]))


@peer(SCORING, "torch.compile", of_kind(Score))
def compiled_matmul(shape: Score) -> Job:
    """A batched matrix product, as one would write it."""
    return compiled_score(shape, lambda query, key: query @ key.transpose(-1, -2))


@peer(SCORING, "torch.compile, fused", of_kind(Score))
def compiled_sum(shape: Score) -> Job:
    """Products and their sums element by element, which the compiler fuses with what follows."""

    def logits(query: Any, key: Any) -> Any:
        return (query.float().unsqueeze(3) * key.float().unsqueeze(2)).sum(-1)

    return compiled_score(shape, logits)


def importance_map(shape: Select) -> Any:
    """A softmax of Gumbel noise, which is what the logits of the best tokens look like."""
    noise = torch.empty(shape.batch, shape.context, device=DEVICE).exponential_().reciprocal()
    return noise / noise.sum(-1, keepdim=True)


@peer(SELECTION, "torch.topk", of_kind(Select))
def torch_topk(shape: Select) -> Job:
    """One map, unsorted."""
    scores = importance_map(shape)
    return Job(1, lambda _: torch.topk(scores, shape.k, dim=-1, sorted=False))


@peer(SELECTION, "FlashInfer top_k", of_kind(Select))
def flashinfer_topk(shape: Select) -> Job:
    """One map, unsorted."""
    import flashinfer

    scores = importance_map(shape)
    return Job(1, lambda _: flashinfer.top_k(scores, shape.k))


# ---- Measuring -----------------------------------------------------------------------------------------------------


def measure(job: Job) -> dict[str, object]:
    """Median, and the tenth and ninetieth percentile, of replays."""
    launches = -(-LAUNCHES // job.turns) * job.turns
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for turn in range(max(2, job.turns)):
            job.launch(turn % job.turns)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for launch in range(launches):
            job.launch(launch % job.turns)
    times = []
    for sample in range(-WARM_UP, SAMPLES):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if sample >= 0:
            times.append(start.elapsed_time(end) * 1e3 / launches)
    times.sort()

    def quantile(share: float) -> float:
        return round(float(times[round(share * (SAMPLES - 1))]), 3)

    times_us = {"us": quantile(0.5), "low_us": quantile(0.1), "high_us": quantile(0.9)}
    return {**times_us, "launches": launches, "samples": SAMPLES}


def work(index: int, workloads: list[str], results: Connection) -> None:
    """The process of one peer: sends what it finds for each workload."""
    os.setsid()  # what it starts in turn is stopped with it
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print
    major, minor = torch.cuda.get_device_capability()
    os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", f"{major}.{minor}" + ("a" if major >= 9 else ""))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    for workload in workloads:
        torch.manual_seed(0)
        try:
            found = measure(PEERS[index].prepare(WORKLOADS[workload]))
        except Exception as error:
            found = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        results.send({"workload": workload, **found})
        torch.cuda.empty_cache()


def figures(index: int, workloads: list[str], limit: int) -> Iterator[dict[str, object]]:
    """What a peer finds within `limit` seconds, and for the other workloads why there is nothing."""
    spawn = multiprocessing.get_context("spawn")
    results, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=work, args=(index, workloads, theirs))
    child.start()
    theirs.close()
    deadline = time.monotonic() + limit
    waiting, reason = list(workloads), ""
    try:
        while waiting:
            if not results.poll(max(0.0, deadline - time.monotonic())):
                reason = f"stopped after {limit} s"
                break
            try:
                found = results.recv()
            except EOFError:
                child.join()
                reason = f"the process ended with exit code {child.exitcode}"
                break
            waiting.remove(found["workload"])
            yield found
        for workload in waiting:
            yield {"workload": workload, "failed": reason}
        child.join(0 if reason else 10)
    finally:
        if child.is_alive() and child.pid is not None:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                child.kill()
        child.join()


# ---- The command ---------------------------------------------------------------------------------------------------


def driver_version() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout.split()[0]
    except (OSError, IndexError, subprocess.SubprocessError):
        return None


def flashinfer_version() -> str | None:
    try:
        return metadata.version("flashinfer-python")
    except metadata.PackageNotFoundError:
        return None


def selected(only: list[str]) -> list[tuple[int, list[str]]]:
    """The peers, by their number, and the workloads wanted of each."""
    parts = [part.lower() for part in only]

    def wanted(peer: Peer, workload: str) -> bool:
        name = f"{workload} {peer.operation} {peer.name}".lower()
        return not parts or any(part in name for part in parts)

    chosen = ((index, [w for w in peer.workloads if wanted(peer, w)]) for index, peer in enumerate(PEERS))
    return [(index, workloads) for index, workloads in chosen if workloads]


def identity(peer: Peer, workload: str) -> dict[str, object]:
    return {"workload": workload, "operation": peer.operation, "peer": peer.name, "shape": str(WORKLOADS[workload])}


def run(chosen: list[tuple[int, list[str]]], limit: int, out: TextIO) -> int:
    """Writes the figures and returns how many were timed."""
    where = {
        "device": torch.cuda.get_device_name(0),
        "driver": driver_version(),
        "torch": torch.__version__,
        "flashinfer": flashinfer_version(),
        "date": date.today().isoformat(),
    }
    timed = 0
    for index, workloads in chosen:
        peer = PEERS[index]
        for found in figures(index, workloads, limit):
            line = {**identity(peer, str(found["workload"])), **found, **where}
            print(json.dumps(line), file=out, flush=True)
            timed += "us" in found
            result = f"{found['us']} us" if "us" in found else found["failed"]
            print(f"{found['workload']}: {peer.operation}, {peer.name}: {result}", file=sys.stderr, flush=True)
    return timed


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--list", action="store_true", help="print the figures that would be taken, and stop")
    add("--only", action="append", default=[], metavar="TEXT", help="take the figures that contain TEXT")
    add("--output", metavar="FILE", help="write the lines to FILE instead of standard output")
    add("--limit", type=int, default=60, metavar="SECONDS", help="time limit of each peer (default: 60)")
    return parser.parse_args()


def main() -> str | None:
    """The sentence to fail with, if it fails."""
    asked = arguments()
    chosen = selected(asked.only)
    if not chosen:
        return f"no figure contains {' or '.join(map(repr, asked.only))}; --list prints them"
    if asked.list:
        for index, workloads in chosen:
            for workload in workloads:
                print(json.dumps(identity(PEERS[index], workload)))
        return None
    if torch is None:
        return f"there is no PyTorch for {sys.executable}; https://pytorch.org says how to install it"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA GPU"
    try:
        output = open(asked.output, "w") if asked.output else nullcontext(sys.stdout)
    except OSError as error:
        return f"{asked.output} cannot be written: {error.strerror}"
    with output as out:
        timed = run(chosen, asked.limit, out)
    return None if timed else "no peer could be timed"


if __name__ == "__main__":
    failure = main()
    sys.exit(f"peers.py: {failure}" if failure else 0)
