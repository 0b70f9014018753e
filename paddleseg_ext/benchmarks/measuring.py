"""What every benchmark shares: fresh processes, timing, the conditions, and the report (JSON, Markdown)."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import get_context

import numpy as np

from paddleseg_ext.files import write_whole


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: the mean, the median, and the tenth and ninetieth percentile."""

    mean: float
    median: float
    low: float
    high: float
    runs: int


def in_fresh_process(threads: int, function: Callable, *args):
    """``function(*args)`` in a process of its own: its libraries see `threads`, and its peak memory is its own."""
    # read when the new process loads its libraries; Paddle sets the first to 1 unless told otherwise
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def repeat(run: Callable[[], object], warm_up: int, runs: int) -> Timing:
    """Time `run`, which must return only when its work is done."""
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return summarise(seconds)


def summarise(seconds: list[float]) -> Timing:
    low, high = np.percentile(seconds, [10, 90])
    return Timing(statistics.fmean(seconds), statistics.median(seconds), float(low), float(high), len(seconds))


def peak_memory() -> int:
    """The largest resident memory of this process so far in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def conditions(device: str, threads: int) -> dict[str, str]:
    """Where and with what a benchmark ran."""
    packages = ("paddlepaddle", "paddlepaddle-gpu", "paddleseg", "onnxruntime", "paddle2onnx", "torch", "numpy")
    found = {name: metadata.version(name) for name in packages if _installed(name)}
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(threads),
        "device": device,
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        **found,
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    if os.path.isfile("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor()


def markdown_table(rows: list[dict]) -> str:
    """Rows with the same keys as a Markdown table; None is an empty cell."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = ["" if row.get(column) is None else str(row[column]) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_report(save_dir: str, name: str, where: dict, figures: list[dict], table: list[dict], notes: list[str]):
    """Print the table and write <save_dir>/<name>.json (all figures) and .md (table, conditions, notes)."""
    os.makedirs(save_dir, exist_ok=True)
    text = "\n\n".join(
        [
            f"# Benchmark: {name}",
            markdown_table(table),
            *notes,
            "\n".join(f"- {key}: {value}" for key, value in where.items()),
        ]
    )
    print(text)
    for suffix, content in (
        ("json", json.dumps({"conditions": where, "figures": figures, "notes": notes}, indent=2)),
        ("md", text + "\n"),
    ):
        write_whole(os.path.join(save_dir, f"{name}.{suffix}"), content)
    print(f"\nWritten: {save_dir}/{name}.json and .md")
