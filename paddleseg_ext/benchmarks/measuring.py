"""What every benchmark shares: flags, fresh processes, timing, the conditions, and the report (JSON, Markdown)."""

from __future__ import annotations

import argparse
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
from multiprocessing import get_context

import numpy as np

from paddleseg_ext.cpu import processor
from paddleseg_ext.files import write_whole
from paddleseg_ext.tables import text_table
from paddleseg_ext.versions import installed_versions


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: the mean, the median, and the tenth and ninetieth percentile."""

    mean: float
    median: float
    low: float
    high: float
    runs: int


def add_flags(
    parser: argparse.ArgumentParser,
    device: bool = False,
    threads: int | None = None,
    warm_up: int | None = None,
    runs: int | None = None,
) -> None:
    """``--save_dir``, and those of the other flags that are given a default here."""
    if device:
        parser.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    if threads is not None:
        parser.add_argument("--threads", type=int, default=threads, help="(default: %(default)s)")
    if warm_up is not None:
        parser.add_argument("--warm_up", type=int, default=warm_up, help="runs to warm up (default: %(default)s)")
    if runs is not None:
        parser.add_argument("--runs", type=int, default=runs, help="measured runs (default: %(default)s)")
    parser.add_argument("--save_dir", default="./output/benchmark", help="(default: %(default)s)")


def in_fresh_process(threads: int, function: Callable, *args):
    """``function(*args)`` in a process of its own: its libraries see `threads`, and its peak memory is its own."""
    # read when the new process loads its libraries; Paddle sets the first to 1 where it is not set
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
    """Where and with what a benchmark runs."""
    return {
        "processor": processor().get("model name") or platform.processor(),
        "cores": str(os.cpu_count()),
        "threads": str(threads),
        "device": device,
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        **installed_versions(),
    }


def latency(figure: dict, name: str) -> dict[str, str]:
    """The cells of a `Timing` (as a dict), the column of the median under a `name`."""
    return {name: f"{1e3 * figure['median']:.1f} ms", "spread": f"{1e3 * figure['low']:.1f}-{1e3 * figure['high']:.1f}"}


def write_report(save_dir: str, name: str, where: dict, figures: list[dict], table: list[dict], notes: list[str]):
    """Print the table and write <save_dir>/<name>.json (all figures) and .md (table, conditions, notes)."""
    columns = list(dict.fromkeys(key for row in table for key in row))
    rows = [[row.get(column) for column in columns] for row in table]
    about = "\n".join(f"- {key}: {value}" for key, value in where.items())
    text = "\n\n".join([f"# Benchmark: {name}", text_table(columns, rows, markdown=True), *notes, about])
    print(text)
    os.makedirs(save_dir, exist_ok=True)
    path = os.path.join(save_dir, name)
    write_whole(f"{path}.json", json.dumps({"conditions": where, "figures": figures, "notes": notes}, indent=2))
    write_whole(f"{path}.md", f"{text}\n")
    print(f"\nWritten: {path}.json and .md")
