"""Times jobs, in a process of its own for each peer, with a time limit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from catalogue import PEERS
from job import Job, torch
from workloads import WORKLOADS

LAUNCHES = 32
WARM_UP = 2
SAMPLES = 30


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
