"""Times the peers of this project's kernels on one NVIDIA GPU, and writes one JSON line per figure.

    python3 peers --output peers.jsonl    all peers
    python3 peers --only w1-select        figures whose workload, operation or peer contains the text
    python3 peers --list                  the figures that there are; needs no PyTorch

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
import subprocess
import sys
from contextlib import nullcontext
from datetime import date
from importlib import metadata
from typing import TextIO

from catalogue import PEERS
from job import Peer, torch
from measure import figures
from workloads import WORKLOADS


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
    parser = argparse.ArgumentParser(
        prog="peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    sys.exit(f"peers: {failure}" if failure else 0)
