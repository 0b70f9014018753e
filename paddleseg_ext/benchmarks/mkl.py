"""A training step with MKL's own choice of kernels and with the AVX2 ones that `paddleseg_ext.cpu` chooses."""

from __future__ import annotations

import argparse
import os
import statistics

from paddleseg_ext.benchmarks import measuring
from paddleseg_ext.benchmarks.training import measure as measure_training
from paddleseg_ext.command import UserError
from paddleseg_ext.cpu import AVX2, VARIABLE, is_amd_with_avx2

OWN_CHOICE, CHOSEN = "MKL's own choice", f"{VARIABLE}={AVX2}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="the YAML file")
    parser.add_argument(
        "--synthetic",
        nargs=3,
        type=int,
        default=[4, 320, 240],
        metavar=("N", "W", "H"),
        help="batch and size of the random images (default: 4 320 240)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="processes of each, in turn (default: %(default)s)")
    measuring.add_flags(parser, threads=2, runs=5)


def main(args: argparse.Namespace) -> None:
    if not is_amd_with_avx2():
        raise UserError("benchmark mkl: nothing to compare, since this is not an AMD processor with AVX2")
    from paddleseg_ext.builder import load_config

    load_config(args.config)  # a wrong path or YAML is reported before the processes start
    where = measuring.conditions("cpu", args.threads)
    steps: dict[str, list[float]] = {OWN_CHOICE: [], CHOSEN: []}
    for _ in range(args.rounds):
        for way, seconds in steps.items():
            seconds += measuring.in_fresh_process(args.threads, measure, way, args.config, args.synthetic, args.runs)
    medians = {way: statistics.median(seconds) for way, seconds in steps.items()}
    figures = [{"kernels": way, "seconds": seconds} for way, seconds in medians.items()]
    table = [
        {
            "kernels": way,
            "training step": f"{1e3 * seconds:.0f} ms",
            "times as fast": f"{medians[OWN_CHOICE] / seconds:.2f}",
        }
        for way, seconds in medians.items()
    ]
    batch, width, height = args.synthetic
    notes = [
        f"{args.config}, batch {batch} of {width}x{height}, median of {args.rounds} x {args.runs} steps after one "
        "each, in processes of their own by turns."
    ]
    measuring.write_report(args.save_dir, "mkl", where, figures, table, notes)


def measure(way: str, config: str, synthetic: list[int], runs: int) -> list[float]:
    """Seconds of each step, in this process, whose MKL has computed nothing yet."""
    os.environ.pop(VARIABLE, None)
    if way == CHOSEN:
        os.environ[VARIABLE] = AVX2
    parts = measure_training(config, synthetic, "cpu", warm_up=1, runs=runs)
    return [sum(step) for step in zip(*parts.values())]
