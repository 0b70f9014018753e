"""Where the time of a training step goes: data, forward, losses, backward, update."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import asdict

import numpy as np

from paddleseg_ext.benchmarks import measuring
from paddleseg_ext.command import UserError

PARTS = ("data", "forward", "losses", "backward", "update")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", nargs="+", help="YAML files")
    parser.add_argument(
        "--synthetic",
        nargs=3,
        type=int,
        metavar=("N", "W", "H"),
        help="random images of this batch and size, instead of the YAML's data set",
    )
    measuring.add_flags(parser, device=True, threads=2, warm_up=1, runs=5)


def main(args: argparse.Namespace) -> None:
    from paddleseg_ext.builder import load_config

    where = measuring.conditions(args.device, args.threads)
    figures, table = [], []
    for path in args.config or [None]:
        load_config(path)  # a wrong path or YAML is reported before the process starts
        steps = measuring.in_fresh_process(
            args.threads, measure, path, args.synthetic, args.device, args.warm_up, args.runs
        )
        whole = statistics.median(sum(step) for step in zip(*steps.values()))
        figures.append(
            {"config": path, "step": whole, **{part: asdict(measuring.summarise(steps[part])) for part in PARTS}}
        )
        row = {"config": path, "step": f"{1e3 * whole:.0f} ms"}
        for part in PARTS:
            median = statistics.median(steps[part])
            row[part] = f"{1e3 * median:.0f} ms ({median / whole:.1%})"
        table.append(row)
    notes = [
        f"Medians of {args.runs} steps after {args.warm_up}, float32, synchronised after each part; the losses include "
        "making their targets. " + ("Random images." if args.synthetic else "The YAML's data, read in this process.")
    ]
    measuring.write_report(args.save_dir, "training", where, figures, table, notes)


def measure(path: str, synthetic: list[int] | None, device: str, warm_up: int, runs: int) -> dict[str, list[float]]:
    """Seconds of each part in each step."""
    import paddle
    import paddleseg.core  # noqa: F401  loads the module that the next line looks up

    from paddleseg_ext.builder import Builder, load_config

    loss_computation = sys.modules["paddleseg.core.train"].loss_computation  # `paddleseg.core.train` is a function
    paddle.seed(0)
    paddle.set_device(device)
    builder = Builder(load_config(path))
    network, optimizer, losses = builder.model, builder.optimizer, builder.loss
    network.train()
    batches = _random_batches(network, synthetic) if synthetic else _batches(path, builder)

    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(warm_up + runs):
        marks = [time.perf_counter()]

        def mark(marks=marks):
            paddle.device.synchronize() if device == "gpu" else None
            marks.append(time.perf_counter())

        data = next(batches)
        images, labels = data["img"], data["label"].astype("int64")
        mark()
        outputs = network(images)
        mark()
        if hasattr(network, "loss_computation"):
            parts = network.loss_computation(outputs, losses, data)
        else:
            edges = data["edge"].astype("int64") if "edge" in data else None
            parts = loss_computation(logits_list=outputs, labels=labels, edges=edges, losses=losses)
        loss = sum(parts)
        mark()
        loss.backward()
        mark()
        optimizer.step()
        network.clear_gradients()
        mark()
        for part, start, end in zip(PARTS, marks, marks[1:]):
            seconds[part].append(end - start)
    return {part: values[warm_up:] for part, values in seconds.items()}


def _batches(path: str, builder):
    import paddle

    dataset, batch_size = builder.train_dataset, builder.config.batch_size
    if len(dataset) < batch_size:
        raise UserError(f"{path}: batch_size {batch_size} is more than the {len(dataset)} images to train on: lower it")
    while True:
        yield from paddle.io.DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True, num_workers=0)


def _random_batches(network, synthetic: list[int]):
    """Noise, labelled in rectangles of a sixteenth of the side, with a strip of ignored pixels."""
    import paddle

    from paddleseg_ext.boundary import binary_boundary

    batch, width, height = synthetic
    random = np.random.default_rng(0)
    classes = network(paddle.zeros([batch, 3, height, width]))[0].shape[1]
    while True:
        image = random.standard_normal((batch, 3, height, width)).astype(np.float32)
        coarse = random.integers(0, classes, (batch, 16, 16))
        rows, columns = (np.arange(side) * 16 // side for side in (height, width))
        label = coarse[:, rows][:, :, columns]
        label[:, : height // 50] = 255
        label = paddle.to_tensor(label)
        yield {"img": paddle.to_tensor(image), "label": label, "edge": binary_boundary(label)}
