"""An evaluation that VisualDL shows (docs/watching.md) against PaddleSeg's own, in turn on the same network."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

from paddleseg_ext.benchmarks import measuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="the YAML whose network and validation set are taken; it needs no weights")
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="changes of the YAML")
    parser.add_argument("--num_images", type=int, help="of the validation set (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="evaluations of each kind (default: %(default)s)")
    measuring.add_flags(parser, threads=2)


def main(args: argparse.Namespace) -> None:
    from paddleseg_ext.builder import load_config

    load_config(args.config, opts=args.opts)  # a wrong path or YAML is reported before the process starts
    where = measuring.conditions("cpu", args.threads)
    figure = measuring.in_fresh_process(args.threads, measure, args)
    row = {"config": args.config, "images": figure["images"]}
    for kind in ("plain", "watched"):
        row[f"{kind}, ms an image"] = f"{1e3 * figure[kind] / figure['images']:.0f}"
    row["ratio"] = f"{figure['ratio']:.2f}"
    notes = [
        f"CPU time of this process, so that others on the machine count little. Medians of {args.runs} evaluations of "
        "each kind in turn, after one of each; the ratio is the median of those of neighbours."
    ]
    measuring.write_report(args.save_dir, "watching", where, [figure], [row], notes)


def measure(args: argparse.Namespace) -> dict:
    """Seconds of CPU time that an evaluation takes, plain and watched, and their ratio."""
    import paddle
    from paddleseg.core import evaluate
    from visualdl import LogWriter

    from paddleseg_ext.builder import Builder, load_config
    from paddleseg_ext.training.watching import Watch

    paddle.set_device("cpu")
    builder = Builder(load_config(args.config, opts=args.opts))
    network, dataset = builder.model, builder.val_dataset
    dataset.file_list = dataset.file_list[: args.num_images]
    seconds: dict[str, list[float]] = {"plain": [], "watched": []}
    with tempfile.TemporaryDirectory() as folder, LogWriter(folder) as writer:
        watch = Watch(writer, network, builder.loss)
        for run in range(args.runs + 1):
            for kind in seconds:
                start = time.process_time()
                if kind == "plain":
                    evaluate(network, dataset, print_detail=False)
                else:
                    watch.evaluate(evaluate, network, dataset, run, print_detail=False)
                seconds[kind].append(time.process_time() - start)
    measured = {kind: values[1:] for kind, values in seconds.items()}
    ratio = statistics.median(watched / plain for plain, watched in zip(*measured.values()))
    medians = {kind: statistics.median(values) for kind, values in measured.items()}
    return {"images": len(dataset), **medians, "ratio": ratio}
