"""What each loss costs, forward and backward, ours beside PaddleSeg's."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from paddleseg_ext.benchmarks import measuring

SCIPY = "ActiveBoundaryLoss-SciPy"  # its distances as the authors have them: on the host

# name -> arguments, and what it takes: "classes" logits (N, K, H, W), "boundary" (N, 1, H, W), "image" (N, K), or
# "pair" of classes and boundary
LOSSES: dict[str, tuple[dict, str]] = {
    "CrossEntropyLoss": ({}, "classes"),
    "OhemCrossEntropyLoss": ({"thresh": 0.9, "min_kept": 131072}, "classes"),
    "DiceLoss": ({}, "classes"),
    "LovaszSoftmaxLoss": ({}, "classes"),
    "BoundaryDoULoss": ({}, "classes"),
    "ActiveBoundaryLoss": ({}, "classes"),
    SCIPY: ({}, "classes"),
    "BoundaryBCELoss": ({}, "boundary"),
    "MultiClassBoundaryLoss": ({}, "classes"),
    "BoundaryAwareOhemCrossEntropyLoss": ({}, "pair"),
    "SECrossEntropyLoss": ({}, "image"),
    "EncodingBCELoss": ({"num_classes": None}, "image"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--losses", nargs="+", default=list(LOSSES), choices=LOSSES, metavar="LOSS", help="(default: all)"
    )
    parser.add_argument(
        "--shape",
        nargs=4,
        type=int,
        default=[2, 19, 512, 512],
        metavar=("N", "K", "H", "W"),
        help="(default: 2 19 512 512)",
    )
    measuring.add_flags(parser, device=True, threads=2, warm_up=1, runs=5)


def main(args: argparse.Namespace) -> None:
    where = measuring.conditions(args.device, args.threads)
    settings = (args.shape, args.device, args.warm_up, args.runs)
    figures = [
        {"loss": loss, **measuring.in_fresh_process(args.threads, measure, loss, *settings)} for loss in args.losses
    ]
    table = [
        {
            "loss": figure["loss"],
            **measuring.latency(figure, "forward and backward"),
            "extra memory": f"{figure['extra_memory'] / 1e6:.0f} MB",
        }
        for figure in figures
    ]
    notes = [f"Logits {args.shape}, {args.runs} runs after {args.warm_up}, targets made from the labels each time."]
    measuring.write_report(args.save_dir, "losses", where, figures, table, notes)


def measure(name: str, shape: list[int], device: str, warm_up: int, runs: int) -> dict:
    import paddle
    from paddleseg.cvlibs import manager

    paddle.seed(0)
    paddle.set_device(device)
    arguments, takes = LOSSES[name]
    if "num_classes" in arguments:
        arguments = {"num_classes": shape[1]}
    if name == SCIPY:
        measure_distances_by_scipy()
        name = "ActiveBoundaryLoss"
    loss = manager.LOSSES[name](**arguments)
    batch, classes, height, width = shape
    shapes = {
        "classes": [shape],
        "boundary": [[batch, 1, height, width]],
        "image": [[batch, classes]],
        "pair": [shape, [batch, 1, height, width]],
    }[takes]
    # blocks: labels with edges, as scenes have
    labels = paddle.randint(0, classes, [batch, 1, 16, 16]).astype("float32")
    labels = paddle.nn.functional.interpolate(labels, [height, width], mode="nearest").squeeze(1).astype("int64")
    logits = [paddle.randn(one) for one in shapes]
    for one in logits:
        one.stop_gradient = False

    def run():
        loss(logits[0] if len(logits) == 1 else tuple(logits), labels).backward()
        for one in logits:
            one.clear_gradient()
        if device == "gpu":
            paddle.device.synchronize()

    before = measuring.peak_memory()
    timing = measuring.repeat(run, warm_up, runs)
    return {**asdict(timing), "extra_memory": measuring.peak_memory() - before}


def measure_distances_by_scipy() -> None:
    """In this process, let `ActiveBoundaryLoss` send the true boundaries to the host and get SciPy's distances."""
    import numpy as np
    import paddle
    from scipy.ndimage import distance_transform_edt

    from paddleseg_ext.losses import active_boundary

    def squared_distances(marks: paddle.Tensor, places: Any = None, exact: int = 0) -> paddle.Tensor:
        distances = np.stack([distance_transform_edt(~mark) for mark in marks.numpy()])
        picture, rows, columns = (some.numpy() for some in places)
        height, width = distances.shape[1:]
        distances = distances[picture, rows.clip(0, height - 1), columns.clip(0, width - 1)]
        return paddle.to_tensor(np.rint(np.square(distances)).astype(np.float32))

    active_boundary.squared_distances = squared_distances
