#!/usr/bin/env python3
"""Draws docs/figures/attention.svg from attention.csv. Needs matplotlib."""
import csv
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "dustin"
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
SERIES = [("peer_us", "FlashInfer 0.6.6", "#b8b8b8"), ("tuned_us", "Dustin, tuned", "#2a6f97"), ("floor_us", "memory floor", "#e07a5f")]


def main():
    rows = list(csv.DictReader((HERE / "attention.csv").open()))
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    for i, (column, label, colour) in enumerate(SERIES):
        at = [y + 0.27 * (i - 1) for y in range(len(rows))]
        times = [float(row[column] or 0) for row in rows]
        bars = axes.barh(at, times, 0.25, label=label, color=colour)
        axes.bar_label(bars, [f"{t:.1f}" if t else "" for t in times], padding=3, fontsize=8)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("µs per layer (lower is better)")
    axes.set_title("Sparse paged attention, Qwen2.5-72B, bf16, γ = 4, k = 512: an NVIDIA H200")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.62))
    figure.savefig(HERE / "attention.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
